"""Who gets in, how much may be sent, and which files can be reached."""

import pytest
from websockets.exceptions import InvalidStatus

from dosegrad.errors import SettingsError
from dosegrad.web.security import Access, confined


def test_pages_and_their_files_are_served(served):
    for page in ("/", "/workspace"):
        answer = served.get(page)
        assert answer.status == 200
        assert "/static/index.js" in answer.text
    assert served.get("/static/index.js").status == 200
    assert '"dosegrad"' in served.get("/api/health").text
    assert served.get("/docs").status == 404  # they would load from elsewhere


def test_pages_load_nothing_from_elsewhere(served):
    policy = served.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    for name in ("/", "/static/index.js", "/static/index.css"):
        text = served.get(name).text
        assert "//cdn" not in text
        assert "fonts.g" not in text


def test_a_foreign_name_for_this_machine_is_turned_away(served):
    answer = served.get("/", host="evil.example:8000")
    assert answer.status == 403
    assert "this machine only" in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9", "null", None])
def test_a_page_from_elsewhere_gets_no_line(served, origin):
    with pytest.raises(InvalidStatus) as refused, served.line(origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_posts_from_elsewhere_are_refused(served):
    answer = served.get("/api/health", method="POST", origin="http://evil.example")
    assert answer.status == 403


def test_without_the_token_nothing_is_shown(serving):
    with serving(access=Access(token="secret-token", any_host=True)) as server:
        assert server.get("/").status == 401
        assert server.get("/?token=wrong").status == 401
        first = server.get("/?token=secret-token")
        assert first.status == 200
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert server.get("/api/health", cookie=cookie.partition(";")[0]).status == 200
        with pytest.raises(InvalidStatus), server.line(origin=server.url):
            pass
        with server.line(origin=server.url, path="/api/planner2d/live?token=secret-token"):
            pass


@pytest.mark.parametrize("wrong", ["bad", "%E2%82%AC", "%0d%0aset-cookie:%20a=b", ""])
def test_a_wrong_token_in_the_address_spoils_no_good_cookie(serving, wrong):
    with serving(access=Access(token="secret-token", any_host=True)) as server:
        good = "dosegrad_token=secret-token"
        answer = server.get(f"/?token={wrong}", cookie=good)
        assert answer.status == 200
        assert "set-cookie" not in answer.headers


def test_only_addresses_of_this_machine_need_no_token():
    assert Access.for_host("127.0.0.1").token is None
    other = Access.for_host("0.0.0.0")
    assert other.token is not None
    assert len(other.token) >= 30
    assert Access.for_host("0.0.0.0").token != other.token


def test_a_huge_upload_is_refused_before_it_is_read(served):
    answer = served.get("/api/health", method="POST", content_length=str(10**9))
    assert answer.status == 413
    assert "cannot be sent" in answer.text


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\0b", "link/x"])
def test_paths_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="leads out of the folder"):
        confined(folder, name)
    assert confined(folder, "a/b.npz") == folder / "a" / "b.npz"


def test_a_name_that_is_too_long_is_refused_in_words(served):
    answer = served.get(f"/api/workspace/files?path={'a' * 400}")
    assert answer.status == 400
    assert "too long" in answer.text


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_static_files_end_at_their_folder(served, path):
    assert served.get(path).status == 404
