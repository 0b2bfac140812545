"""The operator's side of the wire: the admin token of a data folder and the server that runs on it."""

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from paraph.cli.output import fail

Data = Annotated[Path, typer.Option("--data", envvar="PARAPH_DATA", help="The data folder of the running server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Admin:
    """A client of the operator's endpoints for the server that runs on a data folder."""

    def __init__(self, data: Path) -> None:
        try:
            server = json.loads((data / "server.json").read_text(encoding="utf-8"))
            self.url: str = server["url"]
            self._others = [str(one["url"]) for one in server.get("others", ())]
            token = (data / "keys" / "admin-token").read_text(encoding="ascii").strip()
        except (OSError, ValueError, KeyError):
            fail(f"no server has run on {data}: start one with `paraph serve --data {data}`, or name another --data")
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def get(self, path: str) -> Any:
        """GET a path under the server and return its JSON."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON to a path under the server and return its JSON."""
        return self._call("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        """PUT JSON to a path under the server and return its JSON."""
        return self._call("PUT", path, body)

    def try_post(self, path: str, body: Any) -> httpx.Response:
        """POST JSON and return whatever the server answers."""
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        """Ask the process that started last or, where it is gone, another one of those that ran beside it."""
        while True:
            try:
                return self._http.request(method, path, json=body)
            except httpx.ConnectError:
                if not self._others:
                    raise
                self.url = self._others.pop(0)
                self._http.base_url = httpx.URL(self.url)

    def _call(self, method: str, path: str, body: Any) -> Any:
        try:
            answer = self._send(method, path, body)
        except httpx.TransportError as error:
            fail(f"the server at {self.url} does not answer ({error}); is it running?")
        if answer.is_success:
            return answer.json()
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        return fail(f"{problem.get('error', answer.text[:200])} ({problem.get('errcode', answer.status_code)})")
