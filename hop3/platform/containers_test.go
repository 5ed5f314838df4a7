package platform

import (
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestCheckDeployer(t *testing.T) {
	for _, c := range []struct{ deployer, builder, want string }{
		{"", "docker", ""},
		{"auto", "docker", ""},
		{"auto", "local", ""},
		{"docker-compose", "docker", ""},
		{"docker-compose", "nix", "'docker-compose', which runs images, and the builder 'nix' makes none"},
		{"uwsgi", "local", ""},
		{"uwsgi", "docker", "'uwsgi', which runs no images"},
		{"static", "docker", "'static', which runs no images"},
	} {
		err := checkDeployer(c.deployer, c.builder)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q with %s: %v", c.deployer, c.builder, err)
		}
	}
}

// A container has the image's own directories and search path, unless the
// app's variables say others.
func TestLaunch_Container(t *testing.T) {
	p := &Platform{Settings: Settings{Home: "/home/hop3"}}
	r := hop3.Release{
		App: "blog", Number: 3, Build: 2, Env: hop3.Env{"HOME": "/srv", "A": "b"},
		Processes: []hop3.Process{{Type: hop3.ProcessWeb, Count: 1}},
		Artifact: hop3.Artifact{Container: &hop3.Container{
			Image: "sha256:1", Port: 80, WorkDir: "/app", Volumes: []hop3.Volume{{Name: "up", Target: "public/up"}},
		}},
	}
	l := p.launch(r)
	want := hop3.Mount{Name: "up", Source: "/home/hop3/apps/blog/volumes/up", Target: "/app/public/up"}
	if l.Container == nil || l.Container.Image != "sha256:1" || !slices.Equal(l.Mounts, []hop3.Mount{want}) {
		t.Errorf("it runs %+v with %+v", l.Container, l.Mounts)
	}
	for key, value := range map[string]string{"HOME": "/srv", "PWD": "", "A": "b", "APP": "blog", "RELEASE": "v3", "BIND_ADDRESS": "0.0.0.0"} {
		if got := l.Env[key]; got != value {
			t.Errorf("%s is %q, not %q", key, got, value)
		}
	}
}
