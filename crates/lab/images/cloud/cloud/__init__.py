"""The lab's AWS: moto's EC2, IAM, STS and Parameter Store, mended towards AWS, and a real Run Command."""
