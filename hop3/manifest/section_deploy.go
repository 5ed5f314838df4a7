package manifest

import "strings"

func readDeploy(r *reading) {
	t := r.table.table("deploy")
	if t == nil {
		return
	}
	r.manifest.Deployer = strings.ToLower(t.text("deployer"))
	r.manifest.AllowHTTP = t.flag("allow-http") || t.flag("allow_http")
	t.done()
	if r.manifest.Deployer == "docker-compose" {
		r.manifest.Unsupported = append(r.manifest.Unsupported, "deploy.deployer")
	}
}
