"""The size budget. It goes up only in a commit that says why."""

from collections import defaultdict
from math import ceil

from source_tree import functions, native_files, package_files, relative, script_files

MEDIAN_FILE, P90_FILE, MAX_FILE = 120, 300, 500
MEDIAN_FUNCTION, P90_FUNCTION, MAX_FUNCTION = 10, 30, 80


def num_lines(path):
    return len(path.read_text().splitlines())


def percentile(sizes, share):
    return sorted(sizes)[max(0, ceil(share * len(sizes)) - 1)]


def lengths(paths):
    """Lines of every function, by where it is."""
    return {
        f"{relative(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in paths
        for node in functions(path)
    }


def test_the_table_of_sizes(capsys):
    by_folder = defaultdict(list)
    for path in (*package_files(), *native_files(), *script_files()):
        by_folder[relative(path).split("/")[0] if "/" in relative(path) else "."].append(path)
    with capsys.disabled():
        print(f"\n{'folder':<12}{'files':>6}{'lines':>7}{'median':>8}{'largest':>9}")
        for folder, paths in sorted(by_folder.items()):
            sizes = [num_lines(path) for path in paths]
            print(
                f"{folder:<12}{len(sizes):>6}{sum(sizes):>7}{percentile(sizes, 0.5):>8}"
                f"{max(sizes):>9}"
            )


def test_files_keep_to_their_budget():
    sizes = [num_lines(path) for path in (*package_files(), *native_files())]
    assert percentile(sizes, 0.5) <= MEDIAN_FILE
    assert percentile(sizes, 0.9) <= P90_FILE


def test_no_file_is_longer_than_the_limit():
    paths = (*package_files(), *native_files(), *script_files())
    assert {relative(p): num_lines(p) for p in paths if num_lines(p) > MAX_FILE} == {}


def test_functions_keep_to_their_budget():
    sizes = list(lengths(package_files()).values())
    assert percentile(sizes, 0.5) <= MEDIAN_FUNCTION
    assert percentile(sizes, 0.9) <= P90_FUNCTION


def test_no_function_is_longer_than_the_limit():
    sizes = lengths((*package_files(), *script_files()))
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION} == {}
