"""Create the files of `semisup label` from a finished run: pseudo-labels, images to label, labels to check.

run_data.py        the run's images, with the probabilities and embeddings of its best model
pseudo_labels.py   which unlabeled images get a pseudo-label
rules.py           which unlabeled images a person should label next
label_issues.py    which given labels look wrong
label_studio.py    tasks and labeling config of Label Studio
label_files.py     the contents of all files
output.py          write them to a new folder
"""
