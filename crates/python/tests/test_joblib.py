"""joblib and scikit-learn on the cluster."""

from __future__ import annotations

import os

import pytest

from bireme import Client
from calls import increment, process, refuse

joblib = pytest.importorskip("joblib")


@pytest.fixture(autouse=True)
def backend() -> None:
    pytest.importorskip("bireme.joblib")


def test_calls_run_on_the_cluster(client: Client) -> None:
    with joblib.parallel_config(backend="bireme"):
        assert joblib.Parallel()(joblib.delayed(increment)(n) for n in range(100)) == list(range(1, 101))
        processes = joblib.Parallel(n_jobs=2)(joblib.delayed(process)(n) for n in range(4))
    assert os.getpid() not in processes


def test_an_exception_is_raised(client: Client) -> None:
    with joblib.parallel_config(backend="bireme"), pytest.raises(ValueError, match="bad"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(refuse)("bad") for _ in range(3))


def test_a_search_finds_the_same(client: Client) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    x, y = datasets.load_diabetes(return_X_y=True)
    search = GridSearchCV(Ridge(), {"alpha": [0.01, 0.1, 1.0]}, cv=3, n_jobs=-1)
    with joblib.parallel_config(backend="bireme"):
        found = search.fit(x, y).best_params_
    assert found == GridSearchCV(Ridge(), {"alpha": [0.01, 0.1, 1.0]}, cv=3).fit(x, y).best_params_
