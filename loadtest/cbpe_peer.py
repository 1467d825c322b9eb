"""NannyML's CBPE on the scores of `cxr-loadtest monitoring performance`.

Reads a CSV file and writes the estimates as JSON. Columns: job, set (reference or window), probability,
prediction, label (of the reference).
"""

import json
import os
import sys

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import nannyml  # noqa: E402
import pandas  # noqa: E402


def main(source: str, target: str) -> None:
    table = pandas.read_csv(source)
    estimates = {}
    for job, rows in table.groupby("job"):
        reference, window = (rows[rows["set"] == name].reset_index(drop=True) for name in ("reference", "window"))
        estimator = nannyml.CBPE(
            y_pred_proba="probability",
            y_pred="prediction",
            y_true="label",
            metrics=["accuracy", "recall", "specificity"],
            problem_type="classification_binary",
            chunk_size=len(window),
        )
        estimator.fit(reference)
        found = estimator.estimate(window).to_df().iloc[0]
        names = {"accuracy": "accuracy", "recall": "sensitivity", "specificity": "specificity"}
        estimates[job] = {
            ours: [float(found[(theirs, part)]) for part in ("value", "lower_confidence_boundary", "upper_confidence_boundary")]
            for theirs, ours in names.items()
        }
    with open(target, "w", encoding="utf-8") as file:
        json.dump(estimates, file)


main(*sys.argv[1:])
