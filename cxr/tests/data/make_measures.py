# Writes measures.json, the golden values of tests/measures_reference.rs, next to this file.
# Needs numpy==2.4.6 scikit-learn==1.9.1. Run it again only to add a case.
import json
import pathlib

import numpy as np
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression


def delong(scores, y):
    """The definition by kernels over all pairs (DeLong, DeLong and Clarke-Pearson 1988), without any ranking."""
    x, z = scores[y == 1], scores[y == 0]
    psi = (x[:, None] > z[None, :]) + 0.5 * (x[:, None] == z[None, :])
    v10, v01 = psi.mean(1), psi.mean(0)
    variance = np.var(v10, ddof=1) / len(x) + np.var(v01, ddof=1) / len(z)
    return float(psi.mean()), float(np.sqrt(variance))


def case(name, scores, y, threshold):
    scores, y = np.round(np.asarray(scores, float), 6), np.asarray(y, int)
    called = (scores >= threshold).astype(int)
    auc, error = delong(scores, y)
    assert abs(auc - metrics.roc_auc_score(y, scores)) < 1e-12
    isotonic = IsotonicRegression(y_min=0, y_max=1).fit(scores, y)
    return {
        "name": name,
        "scores": scores.tolist(),
        "labels": y.tolist(),
        "threshold": threshold,
        "average_precision": float(metrics.average_precision_score(y, scores)),
        "log_loss": float(metrics.log_loss(y, scores, labels=[0, 1])),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(y, called)),
        "mcc": float(metrics.matthews_corrcoef(y, called)),
        "negative": [
            float(metrics.precision_score(y, called, pos_label=0)),
            float(metrics.recall_score(y, called, pos_label=0)),
            float(metrics.f1_score(y, called, pos_label=0)),
        ],
        "delong": [auc, error],
        # At the scores themselves: between them scikit-learn interpolates and a step function does not.
        "isotonic": isotonic.predict(scores).tolist(),
    }


def main():
    rng = np.random.default_rng(7)
    y = rng.random(151) < 0.4
    overlapping = 1 / (1 + np.exp(-rng.normal(np.where(y, 1.0, -1.0), 1.5)))
    many = rng.random(600) < 0.74
    sharp = 1 / (1 + np.exp(-rng.normal(np.where(many, 4.0, -4.0), 1.8)))
    cases = [
        case("overlapping classes", overlapping, y, 0.5),
        case("many ties", np.round(overlapping * 0.9 + 0.05, 1), y, 0.3),
        case("nearly separated", sharp, many, 0.8),
        case("reversed", [0.9, 0.8, 0.2, 0.1, 0.85, 0.3], [0, 0, 1, 1, 1, 0], 0.5),
    ]
    target = pathlib.Path(__file__).with_name("measures.json")
    target.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


main()
