"""Completion for a shell: jobs, groups with their options, and every key of a job's configuration, as one script."""

from collections.abc import Mapping
from importlib.resources import files

from omegaconf import DictConfig, OmegaConf

from .compose import composed

SHELLS = ("bash", "zsh")
FILES = ("fit", "own", "data.path", "model.path", "hydra.run.dir")  # what takes a path
FLAGS = ("--help", "--version", "--completion")

SCRIPT = """\
{head}# cytostorm: completion of jobs, groups, options and keys; made by `cytostorm --completion {shell}`.
_cytostorm() {{
  local line=${{COMP_LINE:0:$COMP_POINT}}
  local current=${{line##* }} job=${{COMP_WORDS[1]}} offered=""
  COMPREPLY=()
  if [[ $COMP_CWORD -le 1 ]]; then
    offered="{jobs} {flags}"
  else
    case $current in
      {paths})
        offered=$(compgen -P "${{current%%=*}}=" -f -- "${{current#*=}}") ;;
{options}
      *) case $job in
{keys}
      esac ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$current"))
  # Where `=` parts words, what stands before it is there already.
  if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
    COMPREPLY=("${{COMPREPLY[@]#"${{current%%=*}}="}}")
  fi
}}
complete -o nospace -o default -F _cytostorm cytostorm
"""

ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, jobs: Mapping[str, str], verbs: Mapping[str, str]) -> str:
    """The script for a shell: `jobs` take overrides of the configuration that they name, `verbs` the words of a command."""
    groups = options()
    lines = [f'      {name}=*) offered="{" ".join(f"{name}={x}" for x in many)}" ;;' for name, many in groups.items()]
    each = [f'        {job}) offered="{" ".join(keys(config))}" ;;' for job, config in jobs.items()]
    each += [f'        {command}) offered="{words}" ;;' for command, words in verbs.items()]
    return SCRIPT.format(
        shell=shell,
        head=ZSH if shell == "zsh" else "",
        jobs=" ".join([*jobs, *verbs]),
        flags=" ".join(FLAGS),
        paths="|".join(f"{name}=*" for name in FILES),
        options="\n".join(lines),
        keys="\n".join(each),
    )


def options() -> dict[str, list[str]]:
    """The groups of the configuration and their options."""
    found = {}
    for entry in sorted(files("cytostorm.configs").iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            found[entry.name] = sorted(x.name.removesuffix(".yaml") for x in entry.iterdir() if x.name.endswith(".yaml"))
    return found


def keys(job: str) -> list[str]:
    """What may stand before an `=` on the command line of a job: its groups, then every key of its configuration."""
    cfg, known = composed(job, []), options()
    taken = [line.split(":")[0].removeprefix("  - ") for line in text(job).splitlines() if line.startswith("  - ")]
    groups = [name for name in [*map(str, cfg), *taken] if name in known]
    return [f"{name}=" for name in dict.fromkeys([*groups, *_paths(cfg), "hydra.run.dir"])]


def text(name: str) -> str:
    """A file of the configuration: of a job, or of an option as `group/option`."""
    return files("cytostorm.configs").joinpath(f"{name}.yaml").read_text()


def _paths(node: DictConfig, before: str = "") -> list[str]:
    """The dotted keys that hold a value."""
    found = []
    for key in map(str, node):
        inner = None if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) else node[key]
        if isinstance(inner, DictConfig) and len(inner):
            found += _paths(inner, f"{before}{key}.")
        elif key != "_target_":
            found.append(before + key)
    return found
