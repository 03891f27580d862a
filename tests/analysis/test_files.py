import numpy as np

from sparse_mixer_tf.analysis import files


def test_what_is_written_is_read_and_nothing_is_no_error(tmp_path):
    assert files.read(tmp_path) == ({}, {})
    files.write(tmp_path, {"step": 3, "word": "<é>"}, {"mixing/a": np.eye(2, dtype="float16")})
    record, arrays = files.read(tmp_path)
    assert record == {"step": 3, "word": "<é>"} and list(arrays) == ["mixing/a"]
    np.testing.assert_array_equal(arrays["mixing/a"], np.eye(2))


def test_arrays_of_another_step_are_left_out(tmp_path):
    files.write(tmp_path, {"step": 3}, {"mixing/a": np.eye(2)})
    path = tmp_path / "report/inspection.json"
    path.write_text('{"step": 4}')
    assert files.read(tmp_path) == ({"step": 4}, {})


def test_damaged_files_and_arrays_that_hold_code_are_left_out(tmp_path):
    files.write(tmp_path, {"step": 3}, {})
    path = tmp_path / "report/inspection.npz"
    np.savez(path, step=np.array(3), evil=np.array([print], dtype=object))
    assert files.read(tmp_path) == ({"step": 3}, {})
    path.write_bytes(b"PK\x03\x04 half of it")
    assert files.read(tmp_path) == ({"step": 3}, {})
    (tmp_path / "report/inspection.json").write_text('{"step": ')
    assert files.read(tmp_path) == ({}, {})
