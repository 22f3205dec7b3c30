"""Tests get an S3 bucket of their own."""

import os
import subprocess
import sys

import fsspec


def test_an_object_comes_back(s3_url: str) -> None:
    """fsspec finds the endpoint by the environment; a new bucket is empty; what is put is got."""
    files, root = fsspec.core.url_to_fs(s3_url, use_listings_cache=False)
    assert files.find(root) == []
    files.pipe_file(f"{root}/soup/recipe", b"carrots")
    assert files.find(root) == [f"{root}/soup/recipe"]
    assert files.cat_file(f"{root}/soup/recipe") == b"carrots"


def test_another_process_finds_the_endpoint(s3_url: str) -> None:
    """A child process reaches the same bucket with nothing but the environment."""
    program = f"import fsspec; fs, root = fsspec.core.url_to_fs({s3_url!r}); fs.pipe_file(root + '/a', b'1')"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
    files, root = fsspec.core.url_to_fs(s3_url, use_listings_cache=False)
    assert files.find(root) == [f"{root}/a"]
