package platform

import (
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

func TestProcesses(t *testing.T) {
	for _, c := range []struct {
		declared, offered hop3.Process
		want              hop3.Process
	}{
		{declared: hop3.Process{Type: "web", Command: "serve", Count: 2}, want: hop3.Process{Type: "web", Command: "serve", Count: 2}},
		{offered: hop3.Process{Type: "web", Command: "serve"}, want: hop3.Process{Type: "web", Command: "serve", Count: 1}},
		{
			declared: hop3.Process{Type: "wsgi", Command: "app:app", Count: 3},
			offered:  hop3.Process{Type: "wsgi", Command: "gunicorn app:app", Module: "app:app"},
			want:     hop3.Process{Type: "wsgi", Command: "gunicorn app:app", Module: "app:app", Count: 3},
		},
		{
			declared: hop3.Process{Type: "rwsgi", Command: "config.ru", Count: 1},
			want:     hop3.Process{Type: "rwsgi", Command: "rackup --host ${BIND_ADDRESS:-127.0.0.1} --port $PORT config.ru", Module: "config.ru", Count: 1},
		},
		{
			declared: hop3.Process{Type: "php", Command: "/public", Count: 1},
			want:     hop3.Process{Type: "php", Command: "php -S ${BIND_ADDRESS:-127.0.0.1}:$PORT -t ./public", Module: "/public", Count: 1},
		},
		{declared: hop3.Process{Type: "jwsgi", Command: "app.Main:serve", Count: 1}, want: hop3.Process{Type: "jwsgi", Module: "app.Main:serve", Count: 1}},
		// A command of its own is left alone, and so is what no path needs.
		{declared: hop3.Process{Type: "php", Command: "php -S 127.0.0.1:$PORT", Count: 1}, want: hop3.Process{Type: "php", Command: "php -S 127.0.0.1:$PORT", Count: 1}},
		{declared: hop3.Process{Type: "rwsgi", Command: "x;rm", Count: 1}, want: hop3.Process{Type: "rwsgi", Command: "x;rm", Count: 1}},
	} {
		m, a := &manifest.Manifest{}, hop3.Artifact{}
		if c.declared.Type != "" {
			m.Processes = append(m.Processes, c.declared)
		}
		if c.offered.Type != "" {
			a.Processes = append(a.Processes, c.offered)
		}
		if got := processes(m, a, nil); len(got) != 1 || got[0] != c.want {
			t.Errorf("%+v and %+v are %+v, want %+v", c.declared, c.offered, got, c.want)
		}
	}
	m := &manifest.Manifest{Processes: []hop3.Process{{Type: "web", Command: "serve", Count: 1}}}
	if got := processes(m, hop3.Artifact{}, map[string]int{"web": 4}); got[0].Count != 4 {
		t.Errorf("what was scaled to 4 has %d", got[0].Count)
	}
}
