// Package docker builds releases that are container images, and runs them,
// where the machine has a Docker engine.
//
// Images are built by the program docker, as people do it, and containers are
// made over the engine's socket: what an app sets in its environment never is
// the environment of a program that has the server's rights. Of each container
// one process, the program docker attached to it, is watched by the supervisor:
// it passes on the output and ends with the container.
//
// What belongs to a server carries its home's hash: images are tagged
// hop3-<hash>/<app>:v<build>, containers are named hop3-<hash>.<app>.<…> and
// labelled hop3.home, hop3.app and hop3.release, volumes are named as the
// containers. There is no compose file: it would say of one container what is
// said to the engine anyway, and a server could not adopt, drain or scale its
// containers by it.
package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Engine is the machine's Docker engine, as one server uses it. It is safe for
// concurrent use, and need not be there.
type Engine struct {
	prefix string // of all names: "hop3-0123456789ab"
	socket string // a file; "" when DOCKER_HOST names no socket of this machine
	host   string // DOCKER_HOST, for messages
	api    *api
}

var _ hop3.ContainerEngine = (*Engine)(nil)

// Open returns the engine for the server of a home. It is that of DOCKER_HOST
// when that names a unix socket, else the one at /var/run/docker.sock.
func Open(home string) *Engine {
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	sum := sha256.Sum256([]byte(home))
	e := &Engine{prefix: "hop3-" + hex.EncodeToString(sum[:6]), socket: "/var/run/docker.sock"}
	if e.host = os.Getenv("DOCKER_HOST"); e.host != "" {
		socket, isSocket := strings.CutPrefix(e.host, "unix://")
		if e.socket = socket; !isSocket {
			e.socket = ""
		}
	}
	e.api = newAPI(e.socket)
	return e
}

// checkTime bounds how long the engine may take to say that it is there.
const checkTime = 5 * time.Second

// Missing returns nil when there is an engine, else an error whose text says
// what of it is not there.
func (e *Engine) Missing(ctx context.Context) error {
	if e == nil {
		return errors.New("it was not looked for")
	}
	if e.socket == "" {
		return fmt.Errorf("DOCKER_HOST is %q, which is no socket of this machine", e.host)
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("the program docker is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := e.api.get(ctx, "/_ping", nil, nil); err != nil {
		return fmt.Errorf("it does not answer at %s", e.socket)
	}
	return nil
}

// installed reports whether there is an engine that may not answer now.
func (e *Engine) installed() bool {
	if e == nil {
		return false
	}
	if _, err := os.Stat(e.socket); err == nil {
		return true
	}
	_, err := exec.LookPath("dockerd")
	return e.host == "" && err == nil
}

// program returns the argv and environment of the program docker.
func (e *Engine) program(args ...string) (argv, env []string, err error) {
	file, err := exec.LookPath("docker")
	if err != nil {
		return nil, nil, errors.New("the program docker is not installed")
	}
	return append([]string{file, "--host", "unix://" + e.socket}, args...), []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, nil
}
