package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

func TestStatusRows(t *testing.T) {
	s := platform.AppStatus{
		App:       hop3.App{Name: "blog", State: hop3.StateRunning},
		Limits:    hop3.Limits{Memory: 64 << 20, CPU: 0.5, Processes: 100},
		Instances: []hop3.Instance{{Type: "web", Ordinal: 1, State: hop3.InstanceRunning, Restarts: 1, LastExit: "out of memory (limit 64 MiB)"}},
		Reason:    hop3.MessageOf(hop3.Errorf(hop3.CodeDeploy, "it ended.").WithHint("Its log says more.")),
	}
	for n := 2; n < 10; n++ {
		s.Instances = append(s.Instances, hop3.Instance{Type: "web", Ordinal: n, State: hop3.InstanceRunning, Restarts: 3, LastExit: "exit status 1"})
	}
	s.Instances[2].State = hop3.InstanceBackoff // its Warning says so
	var text string
	for _, row := range statusRows(s) {
		text += fmt.Sprintln(row...)
	}
	for _, want := range []string{
		"Limits memory 64 MiB, cpu 0.5, processes 100\n",
		"Note web.1 was started again once, the last time after: out of memory (limit 64 MiB)\nNote web.2 was started again 3 times, the last time after: exit status 1\nNote web.4 ",
		"Note web.6 was started again 3 times, the last time after: exit status 1\nNote and others\nError it ended. Its log says more.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the rows are\n%s\nwant in them\n%s", text, want)
		}
	}
	s = platform.AppStatus{App: s.App, Reason: hop3.MessageOf(errors.Join(hop3.Errorf(hop3.CodeDeploy, "why")))}
	if rows := fmt.Sprint(statusRows(s)); rows != "[[Name blog] [Status RUNNING] [Error why]]" {
		t.Errorf("the rows are %s", rows)
	}
}
