output "name" {
  value = aws_eks_cluster.this.name
}

output "node_security_group_id" {
  description = "Of the nodes and their pods, and of the control plane."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "autoscaling_group_name" {
  description = "Of the nodes."
  value       = aws_eks_node_group.this.resources[0].autoscaling_groups[0].name
}
