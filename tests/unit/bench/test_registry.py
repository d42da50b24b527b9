from autotuner.bench.base import LoadGenerator
from autotuner.bench.registry import load_generator
from autotuner.spec.names import LOAD_GENERATORS


def test_every_load_generator_has_the_name_that_it_is_found_by():
    for name in LOAD_GENERATORS:
        generator = load_generator(name)
        assert isinstance(generator, LoadGenerator)
        assert generator.name == name
