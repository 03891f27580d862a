from pipelines import vocabulary_sample
from pipelines.sources.source import Source


def test_a_large_corpus_is_sampled_evenly_for_the_vocabulary(settings, monkeypatch):
    source = Source(settings)
    everything = vocabulary_sample.sample(source)
    monkeypatch.setattr(vocabulary_sample, "_SAMPLE_CHARACTERS", 10_000)
    sample = vocabulary_sample.sample(source)
    assert 2_000 < sum(map(len, sample)) <= 10_000 < sum(map(len, everything))
    places = [everything.index(text) / len(everything) for text in sample]
    assert places == sorted(places)
    assert min(places) < 0.3 and max(places) > 0.7
