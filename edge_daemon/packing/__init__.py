"""From weights and labelled pictures to a bundle, and a bundle's verdicts on labelled pictures.

labels      pictures with what they show: YOLO, COCO, or folders named ok and ng
weights     what weights say of themselves, asked in a caged worker
bundle      the folder that is made: weights, golden images, model.yaml
judging     every picture of a folder through a model and its recipe, compared with its label
drawing     boxes on pictures, and the sweep of thresholds as a plot
"""
