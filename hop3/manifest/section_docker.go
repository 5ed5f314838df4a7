package manifest

// readDocker reads [docker], for a builder of container images.
func readDocker(r *reading) {
	t := r.table.table("docker")
	if t == nil {
		return
	}
	t.integer("port", 1, 65535)
	t.text("runtime")
	if args := t.table("build-args"); args != nil {
		args.rest(scalarShapes()...)
		for key := range args.values {
			args.scalar(key)
		}
	}
	t.done()
	if r.manifest.Builder != builderDocker {
		r.noEffect("docker", "no image is built: the app's toolchain builds it, and $PORT says where it listens")
	}
}

const builderDocker = "docker"
