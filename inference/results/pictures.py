"""The figures of a posterior, as methods: matplotlib figures in the house style, and ArviZ's plots of the same tree."""

from typing import Any

from ..analyte import canonical


class Pictures:
    """What can be drawn of a posterior. Figures are returned and not kept open, so that a notebook shows each once."""

    def plot_trajectories(self: Any, analyte: str | None = None) -> Any:
        """The 50 and 90 % bands of every curve over its readings, with doses and thresholds; of a population, by subject."""
        if self._of_many:
            return self.plot_individuals(analyte)
        from .. import figures
        from ..style import closed

        return closed(figures.trajectories(self, self.data))

    def plot_individuals(self: Any, analyte: str | None = None) -> Any:
        """Every subject's readings of an analyte, the first one unless it is named, with the 90 % band of its own curve."""
        self._need_many()
        from .. import population_figures
        from ..style import closed

        name = self.data.analyte[0] if analyte is None else canonical(analyte)
        return closed(population_figures.individuals(self, self.data, name))

    def plot_prior(self: Any) -> Any:
        """Every sampled parameter: its prior, its posterior, and what was learned."""
        from .. import figures
        from ..style import closed

        return closed(figures.prior_posterior(self, self.summary()))

    def plot_pair(self: Any) -> Any:
        """Feedback gain and IL-6 clearance together, with the fold; None where they were not sampled."""
        from .. import figures
        from ..style import closed

        return closed(figures.pair(self))

    def plot_readings(self: Any) -> Any:
        """Posterior predictive check: each reading relative to its predicted median."""
        from .. import checks
        from ..style import closed

        return closed(checks.predictive(self.fitted(), self.data))

    def plot_vpc(self: Any) -> Any:
        """Visual predictive check of a population: percentiles of its readings over those of cohorts drawn from it."""
        self._need_many()
        from .. import population_figures
        from ..style import closed

        return closed(population_figures.vpc(self, self.data))

    def plot_spread(self: Any) -> Any:
        """How much subjects of a population differ in each parameter, and how far they are drawn to the median."""
        self._need_many()
        from .. import population_figures
        from ..style import closed
        from ..summary import shrinkage

        return closed(population_figures.spread(self.summary(), shrinkage(self)))

    def plot_ranks(self: Any) -> Any:
        """Rank plots: where chains agree, differences of rank ECDFs stay inside the band."""
        from .. import checks
        from ..style import closed

        return closed(checks.ranks(self))

    def plot_starts(self: Any) -> Any:
        """The climbs that found the modes; None where nothing climbed."""
        from .. import checks
        from ..style import closed

        return closed(checks.waterfall(self))

    def plot_forest(self: Any, var_names: list[str] | None = None, **more: Any) -> Any:
        """ArviZ's forest plot of the sampled parameters; returns its PlotCollection."""
        import arviz_plots as azp

        asked: dict[str, Any] = {"combined": True} | more
        return azp.plot_forest(self, var_names=var_names or self._sampled, **asked)

    def plot_trace(self: Any, var_names: list[str] | None = None, **more: Any) -> Any:
        """ArviZ's traces and densities of the sampled parameters, chain by chain; returns its PlotCollection."""
        import arviz_plots as azp

        return azp.plot_trace_dist(self, var_names=var_names or self._sampled, **more)

    @property
    def _sampled(self: Any) -> list[str]:
        posterior = self["posterior"].to_dataset()
        shared = [name for name, x in posterior.data_vars.items() if "subject" not in x.dims]
        return [str(name) for name in shared if "prior_log_sd" in posterior[name].attrs]

    def _need_many(self: Any) -> None:
        if not self._of_many:
            raise ValueError("this is the posterior of one subject; there is no population to draw")
