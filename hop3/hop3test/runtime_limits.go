package hop3test

import (
	"bytes"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const (
	smallMemory = 64 << 20
	ranOut      = "out of memory (limit 64 MiB)"
)

func tellsOutOfMemory(t *runtimeTest) {
	t.limited()
	l := t.launch(1, hop3.Process{Type: "worker", Command: program("hog"), Count: 1})
	l.Limits.Memory = smallMemory
	t.start(l)
	// The other runs of it end in the same way.
	t.await("it ran out of memory", func(i hop3.Instance) bool { return i.LastExit == ranOut })
	// The release beside it has limits of its own.
	other := t.launch(2, web(program("server")))
	other.Limits.Memory = smallMemory
	t.get(t.start(other)[0], "/pid")
}

func tellsAChildOutOfMemory(t *runtimeTest) {
	t.limited()
	l := t.launch(1, web(program("careless")))
	l.Limits.Memory = smallMemory
	i := t.start(l)[0]
	t.get(i, "/pid")
	t.eventually("the log tells that a child ran out of memory", func() bool { return strings.Contains(t.log(i), ranOut) })
	if now := t.instances(i1)[0]; now.PID != i.PID || now.Restarts != 0 || now.LastExit != "" {
		t.Errorf("the instance was %+v and is now %+v", i, now)
	}
}

func limitsOneOffs(t *runtimeTest) {
	t.limited()
	l := t.launch(1)
	l.Limits.Memory = smallMemory
	var told bytes.Buffer
	exit, err := t.Runtime.Run(t.Context(), l, hop3.OneOff{Shell: program("hog"), Stderr: &told})
	if err != nil || exit != 128+9 || !strings.Contains(told.String(), ranOut) {
		t.Errorf("Run = %d, %v, and told %q", exit, err, told.String())
	}
}

// crowd starts processes until it may not.
const crowd = `(n=0; while [ $n -lt 200 ]; do sleep 600 & n=$((n+1)); echo "started $n"; done); echo "gave up"; `

func limitsProcesses(t *runtimeTest) {
	t.limited()
	l := t.launch(1, hop3.Process{Type: "worker", Command: crowd + "exec sleep 600", Count: 1})
	l.Limits.Processes = 40
	i := t.start(l)[0]
	t.eventually("it gave up", func() bool { return strings.Contains(t.log(i), "gave up\n") })
	if log := t.log(i); strings.Contains(log, "started 40\n") || !strings.Contains(log, "started 5\n") {
		t.Errorf("with 40 processes allowed its log is %s", log)
	}
	var out bytes.Buffer
	l.Limits.Processes = 20
	if _, err := t.Runtime.Run(t.Context(), l, hop3.OneOff{Shell: crowd + "exit 0", Stdout: &out}); err != nil {
		t.Errorf("Run: %v", err)
	}
	if !strings.Contains(out.String(), "started 5\n") || strings.Contains(out.String(), "started 20\n") {
		t.Errorf("with 20 processes allowed the command wrote %s", out.String())
	}
}
