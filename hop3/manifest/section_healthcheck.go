package manifest

func readHealthcheck(r *reading) {
	t := r.table.table("healthcheck")
	if t == nil {
		return
	}
	h := &r.manifest.Health
	if path := t.requestPath("path"); path != "" {
		h.Path = path
	}
	h.Contains = t.text("contains")
	h.Interval = t.seconds("interval")
	if timeout := t.seconds("timeout"); timeout != 0 {
		h.Timeout = timeout
	}
	h.Retries = t.integer("retries", 0, 1000)
	t.done()
}
