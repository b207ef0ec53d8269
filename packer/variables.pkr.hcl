variable "region" {
  type        = string
  description = "The AWS region to build the AMI in."
  default     = "us-east-1"
}

variable "ami_prefix" {
  type        = string
  description = "The AMI's name begins with this; system, architecture and time follow."
  default     = "batch-node"
}

variable "architecture" {
  type        = string
  description = "x86_64 or arm64."
  default     = "x86_64"
}

variable "instance_type" {
  type        = string
  description = "What the AMI is built on; it must have the architecture, and a GPU for the GPU variant's check."
  default     = "m6i.large"
}

variable "subnet_id" {
  type        = string
  description = "The subnet to build in; empty: the default VPC's."
  default     = ""
}

variable "volume_gib" {
  type        = number
  description = "The root volume's size in GiB: images and jobs' files lie on it."
  default     = 50
}

variable "packages" {
  type        = string
  description = "The folder with the agent's .deb and .rpm, as scripts/package.sh leaves them."
  default     = "../target/package"
}

variable "compute_environment" {
  type        = string
  description = "Baked in as the host's compute environment; empty: user data says it at boot."
  default     = ""
}

variable "images" {
  type        = string
  description = "Images to pull into the AMI, separated by blanks, so that the first jobs start at once."
  default     = ""
}

variable "gpu" {
  type        = bool
  description = "Install NVIDIA's driver and container toolkit."
  default     = false
}

variable "efs" {
  type        = bool
  description = "Install the EFS mount helper, for jobs that mount EFS through a host path."
  default     = false
}

# For the test only: an image that is here already, to run the same provisioning in a container.
variable "docker_image" {
  type        = string
  description = "The image that the source docker.test starts from."
  default     = "batch-node-agent-test-system"
}

variable "docker_tag" {
  type        = string
  description = "The name of the image that the source docker.test leaves."
  default     = "batch-node-agent-test-baked"
}
