"""The type checker that the suite puts on every annotated function: beartype, with int accepted as float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
