"""Tables of delivered spots: read, written, and followed while they grow."""

import numpy as np
import pytest

from dosegrad.beams.deliveries import DELIVERED_DTYPE, Delivery
from dosegrad.errors import FileFormatError
from dosegrad.io.delivery_table import DeliveryTail, read_delivery_table, write_delivery_table

LINE = "1,0,120.5,{x},2.5,3.25,{x}\n"
HEADER = "beam,layer,energy,x,y,mu,time\n"


def spots(n=5):
    table = np.zeros(n, dtype=DELIVERED_DTYPE)
    table["beam"], table["energy"], table["mu"] = 1, 120.5, np.arange(1, n + 1)
    table["x"], table["time"] = np.linspace(-20, 20, n), np.nan
    return table


def test_what_is_written_is_read(tmp_path):
    write_delivery_table(Delivery(spots()), tmp_path / "log.csv")
    found = read_delivery_table(tmp_path / "log.csv").spots
    for name in DELIVERED_DTYPE.names:
        np.testing.assert_allclose(found[name], spots()[name], rtol=1e-8)


def test_columns_may_stand_in_any_order_with_remarks_and_without_time(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("# a remark\nMU, x, y, energy, layer, beam\n\n2.0, 1, -1, 99.5, 3, 7\n")
    (spot,) = read_delivery_table(path).spots
    assert (spot["beam"], spot["layer"], spot["energy"], spot["x"]) == (7, 3, 99.5, 1.0)
    assert (spot["y"], spot["mu"]) == (-1.0, 2.0)
    assert np.isnan(spot["time"])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no delivered spot"),
        ("beam,layer,energy,x,y\n1,0,100,0,0\n", "lacks mu"),
        (HEADER + "1,0,100,0,0,1\n", "line 2: expected 7 numbers"),
        (HEADER + LINE.format(x=1) + "1,0,abc,0,0,1,0\n", "line 3"),
        (HEADER + "1,0,100,nan,0,1,0\n", "x is not a finite"),
        (HEADER + "1e300,0,100,0,0,1,0\n", "log.csv"),
        (HEADER + "inf,0,100,0,0,1,0\n", "line 2"),
        (HEADER + "1,0,100,0,0,-1,0\n", "negative meterset"),
        (HEADER + "1.7,0,100,0,0,1,0\n", "line 2: beam 1.7 is no whole number"),
        (HEADER + "1,0.5,100,0,0,1,0\n", "line 2: layer 0.5 is no whole number"),
        (HEADER + "nan,0,100,0,0,1,0\n", "line 2: beam nan"),
        (HEADER + "1,-1,100,0,0,1,0\n", "line 2: layer -1 is negative"),
        (HEADER + "1,0,100,0,0,1,-2\n", "line 2: time -2 s is negative"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, match):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(FileFormatError, match=match):
        read_delivery_table(path)


def test_binary_and_missing_files_are_refused(tmp_path):
    (tmp_path / "b.csv").write_bytes(bytes(range(256)))
    with pytest.raises(FileFormatError, match="no plain text"):
        read_delivery_table(tmp_path / "b.csv")
    with pytest.raises(FileFormatError, match="no table"):
        read_delivery_table(tmp_path / "none.csv")


def test_a_growing_file_gives_each_spot_once_and_no_half_lines(tmp_path):
    path = tmp_path / "log.csv"
    tail = DeliveryTail(path)
    assert tail.new_spots().size == 0
    content = "# begun\n" + HEADER + "".join(LINE.format(x=k) for k in range(30))
    seen = []
    with path.open("w") as file:
        for start in range(0, len(content), 17):  # cut anywhere
            file.write(content[start : start + 17])
            file.flush()
            seen += tail.new_spots()["x"].tolist()
    assert seen == list(range(30))
    with path.open("a") as file:
        file.write("1,0,1,1\n")
    with pytest.raises(FileFormatError, match="line 33"):
        tail.new_spots()
    path.write_text("")
    with pytest.raises(FileFormatError, match="got shorter"):
        tail.new_spots()


def test_a_last_line_without_line_break_counts_at_the_end(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + LINE.format(x=1) + LINE.format(x=2).rstrip("\n"))
    tail = DeliveryTail(path)
    assert tail.new_spots()["x"].tolist() == [1.0]
    assert tail.last_spot()["x"].tolist() == [2.0]
    assert tail.last_spot().size == 0
    path.write_text(HEADER + LINE.format(x=1) + "1,0,120.5")
    tail = DeliveryTail(path)
    tail.new_spots()
    with pytest.raises(FileFormatError, match="line 3: expected 7 numbers"):
        tail.last_spot()
