from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sldml.errors import InputError
from sldml.recordings.readers import manifest
from sldml.recordings.readers.declared import ManifestRow


def table(folder: Path, text: str, name: str = "manifest.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_rows_with_rates_and_further_columns(tmp_path):
    path = table(
        tmp_path,
        "path,label,subject,rate_hz,trial,side\nx/a.npy,wave,p1,30,2,left\n\nx/b.walk.csv, clap ,p2,,-3,\n",
    )
    found = manifest.find(path)
    assert found.folder == tmp_path
    assert found.files == (tmp_path / "x/a.npy", tmp_path / "x/b.walk.csv")
    assert found.rows == (
        ManifestRow("x/a", "wave", "p1", 30.0, {"trial": 2, "side": "left"}),
        ManifestRow("x/b.walk", "clap", "p2", None, {"trial": -3, "side": ""}),
    )
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("subject;path;label\nÄnn;a.npy;wave\n", "utf-8-sig"),
        ("path\tlabel\tsubject\r\na.npy\twave\tÄnn\r\n", "utf-8"),
        ('path,label,subject\n"a.npy","wave","Änn"', "utf-8"),
    ],
)
def test_what_spreadsheets_write(tmp_path, text, encoding):
    assert manifest.find(table(tmp_path, text, encoding=encoding)).rows == (ManifestRow("a", "wave", "Änn", None, {}),)


def test_parquet(tmp_path):
    pq.write_table(
        pa.table({"path": ["a.npy", "b.npy"], "label": [7, 8], "subject": ["p", "q"], "trial": [1, 2]}),
        tmp_path / "m.parquet",
    )
    found = manifest.find(tmp_path / "m.parquet")
    first, second = ManifestRow("a", "7", "p", None, {"trial": 1}), ManifestRow("b", "8", "q", None, {"trial": 2})
    assert found.rows == (first, second)
    (tmp_path / "m.parquet").write_bytes((tmp_path / "m.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"m\.parquet: is not a Parquet table"):
        manifest.find(tmp_path / "m.parquet")


def test_names_and_what_the_catalogue_has_of_its_own(tmp_path):
    found = manifest.find(table(tmp_path, "path,label,subject,length,name\nrec.01,a,p,5,x\nrec.02,a,p,6,y"))
    assert [row.name for row in found.rows] == ["rec.01", "rec.02"]
    assert found.rows[0].details == {}
    assert found.notes == ("manifest.csv: column length, name ignored: the catalogue has its own",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; it needs a header"),
        ("path,label,subject\n", "has no recordings"),
        ("path,label,person\na,b,c", "line 1: no column subject"),
        ("path,label,subject,label\na,b,c,d", "line 1: duplicate column label"),
        ("path,label,subject,\na,b,c,d", "line 1: a column has no name"),
        ("path,label,subject\na,b", "line 2: 2 cells, but the header names 3 columns"),
        ("path,label,subject\n\na.npy,,c", "line 3: the label is empty"),
        ("path,label,subject\n ,b,c", "line 2: the path is empty"),
        ("path,label,subject\na.npy,b,c\na.npy,b,c", "line 3: duplicate of recording a on line 2"),
        ("path,label,subject\na.npy,b,c\n./x/../a.csv,b,c", "line 3: duplicate of recording a on line 2"),
        ("path,label,subject\n.,b,c", "line 2: . is the folder"),
        ("path,label,subject\na\0b,b,c", "line 2: 'a\\x00b' is not a path"),
        ("path,label,subject,rate_hz\na,b,c,fast", "line 2: rate_hz must be a positive number, but it is 'fast'"),
        ("path,label,subject,rate_hz\na,b,c,0", "line 2: rate_hz must be a positive number"),
    ],
)
def test_a_wrong_row_is_one_line_that_says_where(tmp_path, text, said):
    with pytest.raises(InputError) as caught:
        manifest.find(table(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "manifest.csv"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_table_at_all(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.csv: does not exist"):
        manifest.find(tmp_path / "manifest.csv")
    (tmp_path / "manifest.csv").write_bytes(b"path,label,subject\na,b\xff,c")
    with pytest.raises(InputError, match=r"manifest\.csv, line 2: is not UTF-8"):
        manifest.find(tmp_path / "manifest.csv")


@pytest.fixture
def around(tmp_path):
    """(folder, folder beside it); in the folder links that lead out and one that does not."""
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    (inside / "sub").mkdir(parents=True)
    beside.mkdir()
    for folder in (inside, beside):
        (folder / "a.npy").touch()
    (inside / "link.npy").symlink_to(beside / "a.npy")
    (inside / "linked").symlink_to(beside)
    (inside / "own.npy").symlink_to(inside / "a.npy")
    return inside, beside


@pytest.mark.parametrize(
    ("path", "real"),
    [("../beside/a.npy", "beside/a.npy"), ("link.npy", "beside/a.npy"), ("linked/a.npy", "beside/a.npy"),
     ("linked/../beside/a.npy", "beside/a.npy"), ("{tmp}/beside/a.npy", "beside/a.npy"), ("..", ".")],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused_unless_allowed(around, tmp_path, path, real):
    inside, _ = around
    place = table(inside, f"path,label,subject\n{path.format(tmp=tmp_path)},b,c")
    with pytest.raises(InputError, match=r"line 2: .* is outside of .*; .* data\.allow_outside: true"):
        manifest.find(place)
    found = manifest.find(place, allow_outside=True)
    assert found.files[0].resolve() == (tmp_path / real).resolve()
    assert found.files[0].relative_to(inside)


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.npy", "a"), ("sub/../a.npy", "a"), ("{tmp}/inside/a.npy", "a"), ("own.npy", "own"),
     ("linked/../inside/a.npy", "a"), ("not/there/yet.npy", "not/there/yet")],
)  # fmt: skip
def test_a_path_that_stays_inside_is_taken(around, tmp_path, path, name):
    inside, _ = around
    found = manifest.find(table(inside, f"path,label,subject\n{path.format(tmp=tmp_path)},b,c"))
    assert found.rows[0].name == name
    assert found.files[0] == inside / f"{name}.npy"


def test_a_folder_that_is_a_link_itself(around, tmp_path):
    inside, _ = around
    table(inside, f"path,label,subject\na.npy,b,c\n{tmp_path}/beside/a.npy,b,c")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    link = tmp_path / "deep" / "er" / "link"
    link.symlink_to(inside)
    found = manifest.find(link / "manifest.csv", allow_outside=True)
    assert [file.resolve() for file in found.files] == [inside / "a.npy", tmp_path / "beside" / "a.npy"]


@settings(max_examples=80, deadline=None)
@given(content=st.binary(max_size=200) | st.text('path,label,subject\n;"\t./a\0', max_size=120).map(str.encode))
def test_a_table_may_hold_anything(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "manifest.csv"
    path.write_bytes(b"path,label,subject\n" + content)
    try:
        found = manifest.find(path)
    except InputError:
        return
    assert len(found.files) == len(found.rows) > 0


# ---------------------------------------------------------------------------------------------------- the format


def test_the_format_beside_the_manifest(tmp_path):
    (tmp_path / "m.yaml").write_text("rate_hz: 30\nsensors: {glove: 1}\nvalues: [x, y]\n")
    declared = manifest.format_beside(tmp_path / "m.csv")
    assert (declared.rate_hz, declared.values) == (30, ("x", "y"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate_hz: 30\nsensor: {glove: 1}\nsensors: {a: 1}", "m.yaml, line 2: sensor: unknown key"),
        ("rate_hz: -1\nsensors: {a: 1}", "m.yaml, line 1: rate_hz: input should be greater than 0, but it is -1"),
        ("rate_hz: 1", "a skeleton or sensors are needed"),
        ("rate_hz: [", "m.yaml, line 1: not YAML"),
        (
            "sensors: {a: 1}\ntext:\n  decimal: ','\n  delimiter: ','",
            "m.yaml, line 2: text: delimiter and decimal cannot",
        ),
        ("sensors: {a: 1}\ntext:\n  encoding: zlib", "m.yaml, line 3: text.encoding: not a text encoding"),
        ("sensors: {a: 1}\ntext:\n  ignore_lines: '('", "m.yaml, line 3: text.ignore_lines: not a regular expression"),
        ("sensors: {a: 1}\nunit: yard", "line 2: unit: a unit is one of metre"),
        ("sensors: {a: 0}", "the full scale of a must be positive"),
        ("sensors: {a: 1}\norder: [rows, values]", "order needs frames, rows and values once each"),
        ("sensors: {a: 1}\norder: [frames, bodies, rows, values]", "bodies can be an axis only"),
        ("sensors: {a: 1}\nvalues: [x, -x]", "each at most once"),
        ("sensors: {a: 1}\nvalues: [u]", "values need x, y or z"),
        ("sensors: {a: 1}\ncolumns: [0]", "columns are counted from 1"),
        ("sensors: {a: 1}\ncolumns: [1]\ndrop_columns: [2]", "give only one of them"),
        ("sensors: {a: 1}\nnum_bodies: 2", "num_bodies needs a skeleton"),
        ("sensors: {a: 1}\nrows: [a, a]", "rows: a is given twice"),
        ("sensors: {a: 1}\ntime_column: 1\norder: [rows, values, frames]", "time_column needs frames as the first"),
        ("skeleton: {joints: [a, b]}", "give parents"),
        ("skeleton: {joints: [a, a], root: a}", "joints: a is given twice"),
        ("skeleton: {joints: [a, b], parents: {b: c}}", "parents: c is not one of the joints"),
        ("skeleton: {joints: [a, b, c], parents: {b: a}}", "exactly one joint must have none, not a, c"),
        ("skeleton: {joints: [a, b, c], parents: {b: c, c: b}}", "form a cycle and never reach a"),
        ("skeleton: {joints: [a, b], root: a, face: [a, a]}", "face: two different joints are needed"),
        ("skeleton: {name: me}", "a skeleton needs joints, or one of the names kinect_v2"),
        ("skeleton: {name: kinect_v2, root: neck}", "is predefined: leave out other keys"),
    ],
)
def test_a_wrong_format_says_where_and_why(tmp_path, text, said):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        manifest.format_beside(tmp_path / "m.csv")
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "m.yaml"))
    assert "\n" not in str(caught.value)


def test_no_format_anywhere(tmp_path):
    with pytest.raises(InputError, match=r"m\.yaml: there is no such file, nor data\.format"):
        manifest.format_beside(tmp_path / "m.csv")


def test_windows_separators_are_accepted_and_windows_drives_are_not(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x\\odd.npy").touch()  # a name that may have one here
    found = manifest.find(table(tmp_path, "path,label,subject\nx\\y\\a.npy,wave,p\nx\\odd.npy,wave,p\n"))
    assert found.files == (tmp_path / "x/y/a.npy", tmp_path / "x\\odd.npy")
    assert [row.name for row in found.rows] == ["x/y/a", "x\\odd"]
    with pytest.raises(InputError, match=r"line 2: .* is outside of"):
        manifest.find(table(tmp_path, "path,label,subject\n..\\a.npy,wave,p\n"))
    with pytest.raises(InputError, match=r"line 2: .* is a path of another computer; write it relative to") as caught:
        manifest.find(table(tmp_path, "path,label,subject\nC:\\data\\a.npy,wave,p\n"))
    assert "\n" not in str(caught.value)
