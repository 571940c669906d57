import tomllib

import pytest
from source_tree import ROOT, native_files, package_folders, relative


def test_pyproject_lists_every_package_and_no_other():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    names = [".".join(["tapeout", *folder.relative_to(ROOT).parts]) for folder in package_folders()]
    assert sorted(listed) == sorted(names)


def shipped_data():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    return {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in (ROOT / "/".join(package.split(".")[1:])).glob(pattern)
    }


def test_package_data_holds_every_native_source():
    shipped = shipped_data()
    assert [relative(path) for path in native_files() if path not in shipped] == []


@pytest.mark.parametrize("folder", ["serve/playground", "inspection/page"])
def test_package_data_holds_every_file_of_a_page(folder):
    page = {path for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert page and page <= shipped_data()


def test_every_folder_that_holds_code_is_a_package():
    loose = {
        relative(path.parent)
        for folder in package_folders()[1:]
        for path in folder.rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert loose == set()
