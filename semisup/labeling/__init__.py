"""Create the files of `semisup label` from a finished run: pseudo-labels, images to label, labels to check.

command.py         write all files to a new folder
run_data.py        the run's images, with the probabilities and embeddings of its best model
pseudo_labels.py   which unlabeled images get a pseudo-label
class_folders.py   one folder for each class, with the images that have this pseudo-label
rules.py           which unlabeled images a person should label next
label_issues.py    which given labels look wrong
review.py          tables and tasks of the images to label and the labels to check
label_studio.py    tasks and labeling config of Label Studio
page.py            HTML page with thumbnails
unit_rows.py       embeddings of unit length
"""
