# Writes sklearn.json, the golden values of tests/scoring_reference.rs, next to this file.
# Needs numpy==2.4.6 scikit-learn==1.9.1. Run it again only to add a case.
import json
import pathlib

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve


def ece(y, p, strategy, n_bins):
    """Positive rate and mean probability by scikit-learn; the counts by the rule its documentation states."""
    rate, mean = calibration_curve(y, p, n_bins=n_bins, strategy=strategy)
    if strategy == "uniform":
        edges = np.linspace(0.0, 1.0, n_bins + 1)
    else:
        edges = np.percentile(p, np.linspace(0, 1, n_bins + 1) * 100)
    counts = np.bincount(np.searchsorted(edges[1:-1], p))
    counts = counts[counts > 0]
    assert len(counts) == len(rate)
    value = float(np.sum(counts * np.abs(rate - mean)) / len(p))
    return {"n_bins": n_bins, "positive_rate": rate.tolist(), "mean_probability": mean.tolist(), "ece": value}


def case(name, p, y, threshold):
    p, y = np.round(np.asarray(p, float), 6), np.asarray(y, int)
    fpr, tpr, thresholds = metrics.roc_curve(y, p, drop_intermediate=False)
    called = (p >= threshold).astype(int)
    (tn, fp), (fn, tp) = metrics.confusion_matrix(y, called, labels=[0, 1]).tolist()
    return {
        "name": name,
        "scores": p.tolist(),
        "labels": y.tolist(),
        "auc": float(metrics.roc_auc_score(y, p)),
        "roc": {
            # JSON has no infinity: the first threshold is left out.
            "thresholds": thresholds[1:].tolist(),
            "sensitivity": np.round(tpr, 14).tolist(),
            "false_positive_rate": np.round(fpr, 14).tolist(),
        },
        "at": {
            "threshold": threshold,
            "counts": [tp, fp, tn, fn],
            # scikit-learn returns NaN where a ratio is undefined when asked to; JSON has null.
            **{
                key: None if np.isnan(value) else float(value)
                for key, value in {
                    "sensitivity": metrics.recall_score(y, called, zero_division=np.nan),
                    "specificity": metrics.recall_score(y, called, pos_label=0, zero_division=np.nan),
                    "precision": metrics.precision_score(y, called, zero_division=np.nan),
                    "f1": metrics.f1_score(y, called, zero_division=np.nan),
                    "accuracy": metrics.accuracy_score(y, called),
                }.items()
            },
        },
        "brier": float(metrics.brier_score_loss(y, p)),
        "equal_width": [ece(y, p, "uniform", n) for n in (10, 15)],
    }


def main():
    rng = np.random.default_rng(42)
    y = rng.random(151) < 0.4
    separated = 1 / (1 + np.exp(-rng.normal(np.where(y, 1.0, -1.0), 1.5)))
    one = np.arange(120) == 77
    few = rng.random(90) < 0.97
    cases = [
        case("overlapping classes", separated, y, 0.5),
        case("many ties", np.round(separated, 1), y, 0.3),
        case("one positive in 120", rng.beta(1, 8, 120) + 0.05 * one, one, 0.35),
        case("few negatives, miscalibrated", rng.beta(6, 2, 90), few, 0.6),
        case("perfect", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.8),
        case("reversed", [0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.5),
        case("constant, nothing called positive", [0.25] * 10, [0, 1] * 5, 0.5),
        case("the ends of the scale", [0.0, 0.0, 1.0, 1.0, 0.5], [0, 1, 1, 0, 1], 1.0),
    ]
    target = pathlib.Path(__file__).with_name("sklearn.json")
    target.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


main()
