module longshore.dev/hack/cluster/images/pause

go 1.26
