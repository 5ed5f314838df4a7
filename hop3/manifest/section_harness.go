package manifest

// readHarness reads [test], for the harness that tests sample apps.
func readHarness(r *reading) {
	t := r.table.table("test")
	if t == nil {
		return
	}
	t.oneOf("priority", "P0", "P1", "P2")
	t.oneOf("tier", "fast", "medium", "slow", "very-slow")
	for _, target := range t.texts("targets") {
		if target != "docker" && target != "remote" {
			t.fail("targets", "%q is not one of docker, remote", cut(target))
		}
	}
	t.is("targets", listShape(wordShape("docker", "remote")))
	t.text("author")
	t.commands("covers")
	for _, key := range []string{"expects-failure", "expects_failure"} {
		t.is(key, anyShape(flagShape(), textShape()))
		if v, declared := t.get(key); declared {
			if _, isFlag := v.(bool); !isFlag {
				t.text(key)
			}
		}
	}
	for _, validation := range t.tables("validations") {
		readValidation(validation)
	}
	t.done()
}

func readValidation(t *table) {
	t.oneOf("type", "http")
	t.text("path")
	t.integer("status", 100, 599)
	for _, key := range []string{"status-in", "status_in"} {
		t.is(key, listShape(rangeShape(100, 599)))
		v, declared := t.get(key)
		if list, isList := v.([]any); declared && !isList {
			t.fail(key, "expected a list of integers, found %s", kindOf(v))
		} else {
			for _, status := range list {
				if n, isNumber := status.(int64); !isNumber || n < 100 || n > 599 {
					t.fail(key, "expected a list of HTTP statuses, from 100 to 599")
				}
			}
		}
	}
	t.text("contains")
	t.done()
}
