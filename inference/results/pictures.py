"""The figures of a posterior, as methods: matplotlib figures in the house style, and ArviZ's plots of the same tree."""

from typing import Any

import xarray as xr

from ..analyte import canonical


class Pictures:
    """What can be drawn of a posterior. Figures are returned and not kept open, so that a notebook shows each once."""

    children: Any
    data: Any
    summary: Any
    fitted: Any
    _of_many: bool

    def plot_trajectories(self, analyte: str | None = None) -> Any:
        """The 50 and 90 % bands of every curve over its readings, with doses and thresholds; of a population, by subject."""
        if self._of_many:
            return self.plot_individuals(analyte)
        from .. import figures
        from ..style import closed

        return closed(figures.trajectories(self._tree, self.data))

    def plot_individuals(self, analyte: str | None = None) -> Any:
        """Every subject's readings of an analyte, the first one unless it is named, with the 90 % band of its own curve."""
        self._need_many()
        from .. import population_figures
        from ..style import closed

        name = self.data.analyte[0] if analyte is None else canonical(analyte)
        return closed(population_figures.individuals(self._tree, self.data, name))

    def plot_prior(self) -> Any:
        """Every sampled parameter: its prior, its posterior, and what was learned."""
        from .. import figures
        from ..style import closed

        return closed(figures.prior_posterior(self._tree, self.summary()))

    def plot_pair(self) -> Any:
        """Feedback gain and IL-6 clearance together, with the fold; None where they were not sampled."""
        from .. import figures
        from ..style import closed

        return closed(figures.pair(self._tree))

    def plot_readings(self) -> Any:
        """Posterior predictive check: each reading relative to its predicted median."""
        from .. import checks
        from ..style import closed

        return closed(checks.predictive(self.fitted(), self.data))

    def plot_vpc(self) -> Any:
        """Visual predictive check of a population: percentiles of its readings over those of cohorts drawn from it."""
        self._need_many()
        from .. import population_figures
        from ..style import closed

        return closed(population_figures.vpc(self._tree, self.data))

    def plot_spread(self) -> Any:
        """How much subjects of a population differ in each parameter, and how far they are drawn to the median."""
        self._need_many()
        from .. import population_figures
        from ..style import closed
        from ..summary import shrinkage

        return closed(population_figures.spread(self.summary(), shrinkage(self._tree)))

    def plot_ranks(self) -> Any:
        """Rank plots: where chains agree, differences of rank ECDFs stay inside the band."""
        from .. import checks
        from ..style import closed

        return closed(checks.ranks(self._tree))

    def plot_starts(self) -> Any:
        """The climbs that found the modes; None where nothing climbed."""
        from .. import checks
        from ..style import closed

        return closed(checks.waterfall(self._tree))

    def plot_forest(self, var_names: list[str] | None = None, **more: Any) -> Any:
        """ArviZ's forest plot of the sampled parameters; returns its PlotCollection."""
        import arviz_plots as azp

        return azp.plot_forest(self._tree, var_names=var_names or self._sampled, **({"combined": True} | more))

    def plot_trace(self, var_names: list[str] | None = None, **more: Any) -> Any:
        """ArviZ's traces and densities of the sampled parameters, chain by chain; returns its PlotCollection."""
        import arviz_plots as azp

        return azp.plot_trace_dist(self._tree, var_names=var_names or self._sampled, **more)

    @property
    def _tree(self) -> xr.DataTree:
        assert isinstance(self, xr.DataTree)
        return self

    @property
    def _sampled(self) -> list[str]:
        posterior = self._tree["posterior"].to_dataset()
        shared = [name for name, x in posterior.data_vars.items() if "subject" not in x.dims]
        return [str(name) for name in shared if "prior_log_sd" in posterior[name].attrs]

    def _need_many(self) -> None:
        if not self._of_many:
            raise ValueError("this is the posterior of one subject; there is no population to draw")
