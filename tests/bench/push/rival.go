package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/abilian/hop3/tests/bench/subject"
)

// rival deploys the same commits with the programs that Piku uses, in its
// order: git's post-receive hook checks out, installs what the lock has when
// that is newer than what is installed, writes a file for nginx and one for a
// uWSGI emperor, and reloads both. It is pushed to without ssh, and has none of
// Piku's own Python to start: what it takes is the least that Piku takes.
type rival struct {
	server   *subject.Server
	dir      string
	port     int // of nginx
	programs []*exec.Cmd
	said     bytes.Buffer
	released map[string]int
}

func startRival(ctx context.Context, server *subject.Server) (*rival, error) {
	r := &rival{server: server, dir: filepath.Join(server.Dir, "rival"), released: map[string]int{}}
	for _, d := range []string{"git", "apps", "env", "enabled", "available", "nginx/apps"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if r.port, err = freePort(); err != nil {
		return nil, err
	}
	var conf strings.Builder
	nginx := filepath.Join(r.dir, "nginx")
	fmt.Fprintf(&conf, "daemon off;\nuser root;\npid %s/pid;\nevents {}\nhttp {\naccess_log off;\ninclude %s/apps/*.conf;\n", nginx, nginx)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/%s;\n", temp, nginx, temp)
	}
	fmt.Fprintf(&conf, "server { listen 127.0.0.1:%d default_server; return 404; }\n}\n", r.port)
	if err := os.WriteFile(r.nginxConf(), []byte(conf.String()), 0o644); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"nginx", "-p", nginx, "-c", r.nginxConf(), "-e", filepath.Join(nginx, "error.log")},
		{"uwsgi", "--emperor", filepath.Join(r.dir, "enabled"), "--die-on-term"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = server.Env, &r.said, &r.said
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(err, r.stop())
		}
		r.programs = append(r.programs, cmd)
	}
	return r, nil
}

func (r *rival) nginxConf() string { return filepath.Join(r.dir, "nginx", "nginx.conf") }

// stop ends the emperor with its apps, and nginx.
func (r *rival) stop() (err error) {
	for _, cmd := range r.programs {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, cmd := range r.programs {
		_ = cmd.Wait() // it was told to end
	}
	return err
}

// add makes the app's repository, with its hook, and pushes to it.
func (r *rival) add(ctx context.Context, a *app) error {
	repository := filepath.Join(r.dir, "git", a.name)
	if err := r.server.Git(ctx, r.dir, "clone", "-q", "--bare", a.source, repository); err != nil {
		return err
	}
	if err := r.server.Git(ctx, r.dir, "clone", "-q", repository, filepath.Join(r.dir, "apps", a.name)); err != nil {
		return err
	}
	hook := fmt.Sprintf(postReceive, r.dir, a.name, r.nginxConf(), r.port)
	return os.WriteFile(filepath.Join(repository, "hooks", "post-receive"), []byte(hook), 0o755)
}

// postReceive is a shell script of the directory, the app, nginx's
// configuration and its port. The version, which the app tells, counts up.
const postReceive = `#!/bin/sh
set -e
unset GIT_DIR GIT_QUARANTINE_PATH
root=%[1]s app=%[2]s
cd $root/apps/$app
git fetch -q
git reset -q --hard origin/main
env=$root/env/$app
mkdir -p $env
if [ -e requirements.txt ]; then
	[ -e $env/venv ] || python3 -m venv $env/venv
	if [ ! -e $env/done ] || [ requirements.txt -nt $env/done ]; then
		$env/venv/bin/pip install -q -r requirements.txt
	fi
	path=$env/venv/bin:$PATH
	command=$(sed -n 's/^web: //p' Procfile)
else
	if [ ! -e $env/done ] || [ package-lock.json -nt $env/done ]; then
		npm ci --silent
	fi
	path=$PATH
	command="node server.js"
fi
touch $env/done
release=$(($(cat $env/release 2>/dev/null || echo 0) + 1))
echo $release > $env/release
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > $root/nginx/apps/$app.conf <<END
server { listen 127.0.0.1:%[4]d; server_name $app.localhost; location / { proxy_pass http://127.0.0.1:$port; proxy_set_header Host \$host; } }
END
cat > $root/available/$app.ini <<END
[uwsgi]
chdir = $root/apps/$app
master = true
project = $app
env = PORT=$port
env = RELEASE=v$release
env = PATH=$path
logto = $env/web.log
attach-daemon = /bin/sh -c "exec $(echo "$command" | sed "s/\$PORT/$port/")"
END
cp $root/available/$app.ini $root/enabled/$app.ini
nginx -p $root/nginx -c %[3]s -e $root/nginx/error.log -s reload
`

// round pushes what the app has now, and returns when the new release answers.
func (r *rival) round(ctx context.Context, a *app) (time.Duration, error) {
	r.released[a.name]++
	began := time.Now()
	if err := r.server.Git(ctx, a.source, "push", "-q", filepath.Join(r.dir, "git", a.name), "main"); err != nil {
		return 0, err
	}
	wanted := fmt.Sprintf("release v%d\n", r.released[a.name])
	for {
		body, err := get(ctx, r.port, a.name+".localhost")
		if err == nil && strings.HasSuffix(body, wanted) {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the rival's %s does not answer: %q, %w\n%s", a.name, body, err, r.said.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
