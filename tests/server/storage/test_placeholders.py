"""`:name` becomes `$1` where it is a parameter, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.storage.postgresql.placeholders import SqlError, translate

LEFT_ALONE = [
    "SELECT 'it''s :no parameter'",
    "SELECT 'ends with a backslash\\', ':no'",
    "SELECT E'escaped \\' :no' || e'\\\\'",
    'SELECT 1 AS "odd :no ""name"""',
    "SELECT now()::text, '1'::bigint::text",
    "SELECT $$ :no ' \" $$, $tag$ $$ :no $tag$",
    "SELECT * FROM t WHERE text LIKE '100%' AND rest % 7 = 1 AND price <> 1.5e3",
    "SELECT json -> 'a' #>> '{b,c}', '{}'::jsonb ? 'k'",
    "SELECT größe FROM café",
]


@pytest.mark.parametrize("sql", LEFT_ALONE)
def test_what_is_no_parameter_is_left_alone(sql: str) -> None:
    """Literals, quoted names, casts, dollar quotes and percent signs reach PostgreSQL as they were written."""
    assert translate(sql).text == sql
    assert translate(sql).names == ()


def test_equal_names_share_a_number() -> None:
    """A parameter used twice is sent once; casts may follow a name directly."""
    statement = translate("SELECT :b::text,:a FROM t WHERE a=:a AND b>:b_2 OR c IN(:a,:b)")
    assert statement.text == "SELECT $1::text,$2 FROM t WHERE a=$2 AND b>$3 OR c IN($2,$1)"
    assert statement.names == ("b", "a", "b_2")


def test_comments_are_dropped() -> None:
    """A comment with a colon or a quote in it is no parameter and opens no literal."""
    statement = translate("-- name: it's\nSELECT /* :no, 'neither */ :yes -- :no\n/**/, 2/1;\n")
    assert statement.text == "SELECT   $1    , 2/1;"
    assert statement.names == ("yes",)


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("SELECT a[1:2] FROM t", 10),
        ("SELECT a := 1", 9),
        ("SELECT : a", 7),
        ("SELECT 'open", 7),
        ('SELECT "open', 7),
        ("SELECT /* open", 7),
        ("SELECT /* a /* nested */ */ 1", 7),
        ("SELECT $1", 7),
        ("SELECT $$open", 7),
        ("SELECT 1:", 8),
    ],
)
def test_what_cannot_be_told_apart_is_refused(sql: str, at: int) -> None:
    """A stray colon, a positional parameter and anything that does not end are errors that say where."""
    with pytest.raises(SqlError, match=f"at character {at} "):
        translate(sql)


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("-- about\n  select 1", True),
        ("VALUES (1)", True),
        ("INSERT INTO t VALUES (1) RETURNING 1", False),
        ("WITH gone AS (DELETE FROM t RETURNING a) SELECT a FROM gone", False),
        ("SELECTED", False),
        ("", False),
    ],
)
def test_only_what_certainly_reads_counts_as_reading(sql: str, reads: bool) -> None:
    """A WITH may write, so it counts as writing."""
    assert translate(sql).reads is reads


@given(st.lists(st.tuples(st.sampled_from(["name", "literal", "quoted", "word"]), st.text(max_size=12)), max_size=8))
def test_parameters_are_found_between_any_literals(parts: list[tuple[str, str]]) -> None:
    """Whatever stands in literals and quoted names, exactly the parameters between them are numbered."""
    sql, expected, names = ["SELECT"], ["SELECT"], dict[str, int]()
    for kind, text in parts:
        if kind == "name":
            name = f"p{len(text)}"
            sql.append(f":{name}")
            expected.append(f"${names.setdefault(name, len(names) + 1)}")
            continue
        quoted = {"literal": "'" + text.replace("'", "''") + "'", "quoted": '"' + text.replace('"', '""') + '"'}
        sql.append(quoted.get(kind, "word"))
        expected.append(sql[-1])
    statement = translate(" , ".join(sql))
    assert statement.text == " , ".join(expected)
    assert statement.names == tuple(names)
