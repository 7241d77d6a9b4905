"""Prices from the published table, by the names that people and drivers use."""

from datetime import date, timedelta

import pytest

from coldburst.record.prices import DATE, TABLE, PriceError, find, read, stale

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("text", "usd_per_s", "vram_gb"),
    [
        ("4090", 0.00031, 24),
        ("ada_24", 0.00031, 24),
        ("NVIDIA GeForce RTX 4090", 0.00031, 24),
        ("AMPERE_16", 0.00016, 16),
        ("NVIDIA RTX A4000", 0.00016, 16),
        ("L4", 0.00019, 24),
        ("NVIDIA L40S", 0.00053, 48),
        ("RTX 6000 Ada Generation", 0.00053, 48),
        ("NVIDIA RTX A6000", 0.00034, 48),
        ("A40", 0.00034, 48),
        ("NVIDIA A100 80GB PCIe", 0.00076, 80),
        ("ADA_80_PRO", 0.00116, 80),
        ("rtx pro 6000", 0.00111, 96),
        ("H200 SXM", 0.00155, 141),
        ("b200", 0.00240, 180),
    ],
)
def test_a_card_or_a_pool_has_its_price(text, usd_per_s, vram_gb):
    price = find(text)
    assert (price.usd_per_s, price.vram_gb, price.date) == (usd_per_s, vram_gb, DATE)
    assert "pricing-table" in price.source


@pytest.mark.parametrize(("name", "price"), [(name, price) for names, price in TABLE for name in names])
def test_every_name_finds_its_own_row(name, price):
    assert find(name) == price


@pytest.mark.parametrize("text", ["", "MI300X", "6000", "5090", "A100 or H100"])
def test_what_names_no_one_card_is_refused_with_those_that_there_are(text):
    with pytest.raises(PriceError, match=r"does not name one GPU with a known price: use one of A4000, .* ADA_24, .*as in 0\.00031"):
        find(text)


def test_a_price_by_hand_stands_in_for_the_table():
    price = read("0.00031", TODAY)
    assert (price.usd_per_s, price.vram_gb, price.source, price.date) == (0.00031, None, "given by hand", TODAY)
    assert read("4090", TODAY) == find("4090")
    assert read("L40S", TODAY) == find("L40S")


@pytest.mark.parametrize("text", ["0", "-1", "1.39", "nan", "24"])
def test_a_price_of_an_hour_or_of_nothing_is_refused(text):
    with pytest.raises(PriceError, match=r"give the price per second, as in 0\.00031"):
        read(text, TODAY)


def test_old_prices_are_told():
    price = find("4090")
    assert stale(price, price.date + timedelta(days=90)) == ""
    assert "is 91 days old (2026-08-20)" in stale(price, price.date + timedelta(days=91))
    assert "0.00031 USD a second" in stale(price, price.date + timedelta(days=91))
    assert stale(read("0.0004", TODAY), TODAY) == ""
