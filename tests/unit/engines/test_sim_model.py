import random
import statistics

import pytest

from autotuner.engines.sim_model import (
    Batch,
    PrefixCache,
    Request,
    Timing,
    noise_factor,
    output_tokens,
    prompt_tokens,
)

TIMING = Timing()


def measure(concurrency, max_num_seqs, max_num_batched_tokens=2048, prompt=100, output=50):
    """One wave of equal requests at once: their first-token times and the end, in seconds."""
    batch = Batch(max_num_seqs, max_num_batched_tokens)
    requests = [Request(prompt, output) for _ in range(concurrency)]
    for request in requests:
        batch.add(request)
    now_s, first_s = 0.0, {}
    while batch.busy:
        step = batch.step()
        now_s += TIMING.step_s(step.decode_tokens, step.prefill_tokens)
        for request in step.emitted:
            first_s.setdefault(request, now_s)
    return [first_s[request] for request in requests], now_s


def test_a_step_costs_its_base_its_decoded_tokens_and_its_prompt_tokens():
    timing = Timing(base_s=1.0, per_decode_token_s=0.1, per_prefill_token_s=0.01)
    assert timing.step_s(3, 20) == pytest.approx(1.5)


def test_two_devices_are_faster_than_one_but_not_twice_as_fast():
    one, two = (Timing(tensor_parallel_size=n).step_s(8, 100) for n in (1, 2))
    assert one / two == pytest.approx(2**0.8)


def test_every_request_gets_each_of_its_tokens_once():
    batch = Batch(max_num_seqs=2, max_num_batched_tokens=16)
    requests = [Request(prompt, output) for prompt, output in [(40, 3), (1, 1), (5, 7)]]
    for request in requests:
        batch.add(request)
    made = []
    while batch.busy:
        made += batch.step().emitted
    assert [made.count(request) for request in requests] == [3, 1, 7]


def test_no_more_than_max_num_seqs_run_and_the_first_come_is_first_served():
    batch = Batch(max_num_seqs=2, max_num_batched_tokens=1000)
    requests = [Request(1, 2) for _ in range(3)]
    for request in requests:
        batch.add(request)
    assert [requests.index(r) for r in batch.step().emitted] == [0, 1]
    assert [requests.index(r) for r in batch.step().emitted] == [0, 1]
    assert [requests.index(r) for r in batch.step().emitted] == [2]


def test_prompts_are_read_within_the_budget_that_decoding_leaves():
    batch = Batch(max_num_seqs=4, max_num_batched_tokens=10)
    batch.add(Request(1, 100))
    batch.step()
    batch.add(Request(25, 1))
    steps = [batch.step() for _ in range(3)]
    assert [(step.decode_tokens, step.prefill_tokens) for step in steps] == [(1, 9), (1, 9), (1, 7)]
    assert [len(step.emitted) for step in steps] == [1, 1, 2]


def test_a_request_whose_client_has_gone_takes_no_place():
    batch = Batch(max_num_seqs=1, max_num_batched_tokens=100)
    running, waiting, last = Request(1, 9), Request(1, 9), Request(1, 1)
    for request in (running, waiting, last):
        batch.add(request)
    batch.step()
    batch.remove(running)
    batch.remove(waiting)
    assert batch.step().emitted == (last,)
    assert not batch.busy


def test_more_sequences_give_more_throughput_and_a_shorter_wait():
    ends_s, waits_s = [], []
    for max_num_seqs in (1, 4, 16):
        first_s, end_s = measure(8, max_num_seqs)
        ends_s.append(end_s)
        waits_s.append(statistics.mean(first_s))
    assert ends_s[0] > 2 * ends_s[1] > 2.5 * ends_s[2]
    assert waits_s[0] > 2 * waits_s[1] > 4 * waits_s[2]


def test_fewer_sequences_give_faster_tokens():
    def between_tokens_s(max_num_seqs):
        first_s, end_s = measure(16, max_num_seqs)
        return end_s - max(first_s)

    assert between_tokens_s(1) < between_tokens_s(4) < between_tokens_s(16)


def test_the_number_of_sequences_makes_no_difference_to_a_lone_request():
    assert measure(1, 1) == measure(1, 16)


def test_small_chunks_delay_the_first_token_of_a_long_prompt():
    (small,), _ = measure(1, 4, max_num_batched_tokens=64, prompt=1000)
    (large,), _ = measure(1, 4, max_num_batched_tokens=2048, prompt=1000)
    assert small > 1.5 * large


def test_small_chunks_keep_the_tokens_of_others_coming():
    def longest_step_s(max_num_batched_tokens):
        batch = Batch(4, max_num_batched_tokens)
        batch.add(Request(1, 100))
        batch.step()
        batch.add(Request(1000, 1))
        steps = [batch.step() for _ in range(30)]
        return max(TIMING.step_s(step.decode_tokens, step.prefill_tokens) for step in steps)

    assert longest_step_s(64) < longest_step_s(2048) / 3


def test_a_prompt_token_is_four_characters_rounded_up():
    assert [prompt_tokens(text) for text in ("", "a", "abcd", "abcde")] == [1, 1, 1, 2]


def test_a_shared_beginning_is_read_once_in_whole_blocks():
    cache = PrefixCache()
    shared = "s" * 640
    assert cache.uncached_tokens(shared + "a" * 64) == 176
    assert cache.uncached_tokens(shared + "b" * 64) == 16
    assert cache.uncached_tokens("x" + shared) == 161


def test_one_token_of_a_repeated_prompt_is_still_read():
    cache = PrefixCache()
    cache.uncached_tokens("p" * 640)
    assert cache.uncached_tokens("p" * 640) == 1


def test_ignoring_the_end_gives_exactly_the_limit():
    assert [output_tokens("p", n, ignore_eos=True) for n in (1, 50, 5000)] == [1, 50, 5000]


def test_an_answer_may_end_early_and_always_at_the_same_place():
    lengths = [output_tokens(f"prompt {n}", 200, ignore_eos=False) for n in range(100)]
    assert lengths == [output_tokens(f"prompt {n}", 200, ignore_eos=False) for n in range(100)]
    assert min(lengths) < 100
    assert max(lengths) == 200


def test_noise_has_mean_one_and_the_asked_for_spread_and_a_seed():
    generator = random.Random(1)
    factors = [noise_factor(generator, 0.2) for _ in range(20_000)]
    assert statistics.mean(factors) == pytest.approx(1.0, abs=0.01)
    assert statistics.stdev(factors) == pytest.approx(0.2, abs=0.01)
    assert factors[0] == noise_factor(random.Random(1), 0.2)


def test_no_noise_is_exactly_none():
    assert noise_factor(random.Random(1), 0.0) == 1.0
