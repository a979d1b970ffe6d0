"""The lab's AWS: moto's EC2, IAM, STS and Parameter Store, mended where they differ from AWS, and a real Run Command."""
