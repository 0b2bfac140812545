"""Where `paraph log` reads a log's files from: a folder, or a web server."""

from pathlib import Path

import httpx

from paraph.audit.sources import DirectorySource, Fetch


def source_of(log: str) -> tuple[Fetch, list[str]]:
    """What reads the log at a folder or URL, and the files known to be there (none over HTTP)."""
    if log.startswith(("http://", "https://")):
        return http_source(log), []
    source = DirectorySource(Path(log))
    return source, list(source.paths())


def http_source(url: str) -> Fetch:
    """A source that reads a log's files over HTTP; raises FileNotFoundError for 404 and OSError for other failures."""
    client = httpx.Client(timeout=30)

    def fetch(path: str) -> bytes:
        try:
            answer = client.get(f"{url.rstrip('/')}/{path}")
        except httpx.TransportError as error:
            raise OSError(f"{url} does not answer: {error}") from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise FileNotFoundError(path)
        if not answer.is_success:
            raise OSError(f"{path}: the server answered {answer.status_code}")
        return answer.content

    return fetch
