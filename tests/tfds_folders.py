"""Small prepared data sets of TFDS, in the form that `tfds build` writes."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf


def c4_records(texts: Iterable[str]) -> list[dict]:
    """Records of `c4/en` with these texts."""
    others = ("url", "timestamp", "content-length", "content-type")
    return [{"text": text, **dict.fromkeys(others, "")} for text in texts]


def write_prepared(
    folder: Path, name: str, splits: Mapping[str, Iterable[dict]], num_shards: int = 1
) -> Path:
    """Prepares made-up records as a data set that TFDS knows.

    Args:
        folder: what is then given as `--data_dir`.
        name: as TFDS spells it, `glue/rte`.
        splits: records of every split, with the features of the data set.
        num_shards: files of each split, of about as many records.

    Returns:
        The folder of the data set.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=folder, try_gcs=False)
    place, features, infos = Path(builder.data_path), builder.info.features, []
    place.mkdir(parents=True)
    for split, records in splits.items():
        template = tfds.core.ShardedFileTemplate(
            data_dir=place, dataset_name=builder.name, split=split, filetype_suffix="tfrecord"
        )
        rows = [features.serialize_example(features.encode_example(record)) for record in records]
        edges = [len(rows) * index // num_shards for index in range(num_shards + 1)]
        for index, (start, stop) in enumerate(itertools.pairwise(edges)):
            file = template.sharded_filepath(shard_index=index, num_shards=num_shards)
            with tf.io.TFRecordWriter(str(file)) as writer:
                for row in rows[start:stop]:
                    writer.write(row)
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[b - a for a, b in itertools.pairwise(edges)],
                num_bytes=sum(map(len, rows)),
                filename_template=template,
            )
        )
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
    builder.info.write_to_directory(place)
    return place
