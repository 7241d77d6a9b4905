"""Prices from the published table, by the names that people and drivers use."""

from datetime import date, timedelta

import pytest

from coldburst.record.prices import DATE, TABLE, PriceError, find, read, stale, times

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


KNOWN = [(name, card.price) for card in TABLE if card.price for name in (*card.names, *card.ids)]
UNKNOWN = [name for card in TABLE if not card.price for name in (*card.names, *card.ids)]


@pytest.mark.parametrize(("name", "price"), KNOWN)
def test_every_name_finds_its_own_row(name, price):
    assert find(name) == price


def test_no_two_rows_share_a_name():
    keys = [key for card in TABLE for key in card.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_gpu_without_a_published_price_gets_none(name):
    with pytest.raises(PriceError, match=r"the serverless price of .* is not published in RunPod's table: give USD per worker-second"):
        find(name)


def test_names_that_look_alike_are_not_taken_for_each_other():
    assert {"H100 NVL", "RTX PRO 6000 MIG 24GB", "NVIDIA GeForce RTX 5090", "B300", "MI300X", "cpu3c", "cpu5g"} <= set(UNKNOWN)
    assert find("A100 80GB").usd_per_s == find("A100").usd_per_s


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("", "use one of A4000, L4, 4090"),
        ("6000", "near ones are A6000, 6000 Ada"),
        ("H100 40GB", "near ones are H100"),
        ("A100 or H100", "near ones are A100"),
        ("RTX 409", "near ones are 4090"),
    ],
)
def test_what_names_no_one_gpu_is_refused_with_the_near_ones(text, near):
    with pytest.raises(PriceError, match=rf"'{text}' does not name one GPU with a known price: {near}.*, or give .*as in 0\.00031"):
        find(text)


def test_a_worker_with_several_gpus_and_a_disk_costs_them_all():
    one = find("4090")
    assert find("2 x 4090").usd_per_s == find("2x NVIDIA GeForce RTX 4090").usd_per_s == 2 * one.usd_per_s
    # CR's invoice: 1.10 USD an hour for the GPU, and about 0.008 for a disk of 60 GB.
    assert (times(one, 1, 60).usd_per_s - one.usd_per_s) * 3600 == pytest.approx(0.008, abs=0.0005)
    assert times(one, 4, 60).name == "4 x 4090 (ADA_24) 24 GB, 60 GB disk"


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
