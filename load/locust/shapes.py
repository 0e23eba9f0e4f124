"""How the number of users changes in a run, for locust: `-f locustfile.py,shapes.py --shape table`.

locust takes the first shape that it finds and asks nobody, so there is one here, which takes its stages
(see `stages`) by the option `--shape`. With this file in the list of locustfiles the shape ends the run;
`--users` and `--run-time` say how large and how long it is. `--spawn-rate` means nothing here, because locust
sets it to 1 where it was not given: `--stage-rate` does.
"""

from __future__ import annotations

from locust import LoadTestShape
from stages import Stage, make_stages, stage_at


class NamedShape(LoadTestShape):
    """The shape that the command line names."""

    use_common_options = True

    def stages(self) -> list[Stage]:
        """What was asked for."""
        options = self.runner.environment.parsed_options
        return make_stages(options.shape, options.num_users, options.run_time, options.stage_rate)

    def tick(self) -> tuple[int, float] | None:
        """What locust asks every second: how many users there are to be, and how fast they come or go."""
        stage = stage_at(self.stages(), self.get_run_time())
        return None if stage is None else (stage.users, stage.rate)
