import ctypes

from tapeout.codegen.triton.player import build_cuda_player


def test_the_player_for_gpus_is_built_without_cuda_and_alike_each_time(tmp_path):
    paths = [tmp_path / name for name in ("a.so", "b.so")]
    for path in paths:
        build_cuda_player(path.with_suffix(".objects"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    player = ctypes.CDLL(str(paths[0]))
    player.tapeout_cuda_error.restype = ctypes.c_char_p
    assert player.tapeout_cuda_open(b"libcuda_that_is_not_here.so", 0) == 0
    assert b"libcuda_that_is_not_here.so" in player.tapeout_cuda_error()
