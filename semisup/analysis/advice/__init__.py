"""Derive advice from the results of finished runs. Each module holds one check.

case.py              the runs that a piece of advice is about, and the reasons why a check has no finding
checks.py            all checks, in the order in which they are printed
labels_alone.py      whether pseudo-labels are better than labels alone
out_of_class.py      whether the unlabeled set contains images that belong to none of the classes
concentration.py     whether the selected pseudo-labels concentrate on few classes
validation_size.py   whether the validation set distinguishes the settings
more_labels.py       whether more labels would help more than any setting that was tried

A check returns a finding only if the results support it. docs/advice.md states each rule and how often it is wrong.
"""
