"""A model in several files, as the gguf package writes them: the same numbers as from one file, whichever
part is named; what does not belong together is refused with a sentence. TENON names the binary."""
import shutil

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")
from test_convert import Checkpoint, LIBRARY_IDS, convert, logits_of, metadata, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    d = tmp_path_factory.mktemp("parts")
    convert(Checkpoint("lfm2").write(d / "m", "F32"), d / "whole.gguf")
    return d / "whole.gguf"


def write_parts(whole, out, most=10, **changes):
    """The same keys and tensors through the package's own writer; changes: what a part says of itself."""
    r = gguf.GGUFReader(whole)
    w = gguf.GGUFWriter(out, "lfm2", split_max_tensors=most)
    for key, f in r.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        w.add_key_value(key, f.contents(), f.types[0], *([f.types[-1]] if len(f.types) > 1 else []))
    for t in r.tensors:
        w.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return sorted(out.parent.glob(out.stem + "-*-of-*.gguf"))


def test_any_part_stands_for_the_model(whole, tmp_path):
    parts = write_parts(whole, tmp_path / "m.gguf")
    assert len(parts) >= 3
    want = logits_of(whole, LIBRARY_IDS, tmp_path, "--ref")
    for p in parts:
        assert np.array_equal(logits_of(p, LIBRARY_IDS, tmp_path, "--ref"), want), p
    assert np.array_equal(logits_of(whole, LIBRARY_IDS, tmp_path), logits_of(parts[0], LIBRARY_IDS, tmp_path))


def test_what_is_written_from_parts_is_one_file(whole, tmp_path):
    parts = write_parts(whole, tmp_path / "m.gguf")
    for source, out in ((whole, "a.gguf"), (parts[1], "b.gguf")):
        rc, _, err = run("quantize", source, tmp_path / out, "Q8_0")
        assert rc == 0, err
    assert not [k for k in metadata(tmp_path / "b.gguf") if k.startswith("split.")]
    a, b = gguf.GGUFReader(tmp_path / "a.gguf"), gguf.GGUFReader(tmp_path / "b.gguf")
    assert [t.name for t in a.tensors] == [t.name for t in b.tensors]
    assert all(np.array_equal(x.data, y.data) for x, y in zip(a.tensors, b.tensors))


def refused(path):
    rc, _, err = run("debug", "logits", "--ref", "--tokens", "1,2", "-o", path.parent / "x.f32", "-m", path)
    assert rc == 1, err
    return err


def test_what_does_not_belong_together_is_refused(whole, tmp_path):
    parts = write_parts(whole, tmp_path / "m.gguf")
    other = write_parts(whole, tmp_path / "o.gguf", most=15)
    n = len(parts)
    kept = parts[1].read_bytes()
    parts[1].unlink()
    assert f"m-00002-of-{n:05}.gguf" in refused(parts[0])                       # missing
    shutil.copy(parts[2], parts[1])
    assert f"says it is part 3 of {n}" in refused(parts[0])                     # another part under its name
    shutil.copy(other[1], parts[1])
    assert "says it is part 2 of 2" in refused(parts[0])                        # of another split
    parts[1].write_bytes(kept[:len(kept) // 2])
    assert "beyond the end of the file" in refused(parts[0])
    parts[1].write_bytes(kept)
    assert logits_of(parts[0], LIBRARY_IDS, tmp_path, "--ref").size
    loose = tmp_path / "loose.gguf"
    shutil.copy(parts[0], loose)
    assert f"must be named <model>-00001-of-{n:05}.gguf" in refused(loose)
    first = parts[0].read_bytes()
    at = first.index(b"split.tensors.count") + len("split.tensors.count") + 4
    parts[0].write_bytes(first[:at] + (int.from_bytes(first[at:at + 4], "little") + 1).to_bytes(4, "little") + first[at + 4:])
    assert "tensors in all" in refused(parts[0])
