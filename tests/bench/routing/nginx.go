package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// startBackend starts the server behind all contestants. It answers by another
// text at its other address.
func startBackend(ctx context.Context, dir string) (c *contestant, other string, err error) {
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return nil, "", err
		}
	}
	prefix := filepath.Join(dir, "backend")
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return nil, "", err
	}
	config := nginxHead(prefix, "1")
	fmt.Fprintf(config, "default_type text/plain;\n")
	for i, text := range []string{"hello from the backend", "hello from the other one"} {
		fmt.Fprintf(config, "server { listen %s backlog=4096; location / { return 200 '%s\\n'; } }\n", addresses[i], text)
	}
	config.WriteString("}\n")
	c, err = startNginxWith(ctx, prefix, "backend", 1, addresses[0], config.Bytes())
	return c, addresses[1], err
}

// startNginx starts an nginx with n server blocks, each with its own upstream.
func startNginx(ctx context.Context, prefix string, n int, backend string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, err := startNginxWith(ctx, prefix, "nginx", n, address, nginxConfig(prefix, n, address, backend, backend))
	if err != nil {
		return c, err
	}
	c.change = func(upstream string) error {
		if err := os.WriteFile(filepath.Join(prefix, "nginx.conf"), nginxConfig(prefix, n, address, upstream, backend), 0o644); err != nil {
			return err
		}
		return c.cmd.Process.Signal(syscall.SIGHUP)
	}
	return c, nil
}

func startNginxWith(ctx context.Context, prefix, kind string, n int, address string, config []byte) (*contestant, error) {
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nginx", "-p", prefix, "-c", file, "-e", filepath.Join(prefix, "error.log"))
	c := &contestant{kind: kind, apps: n, address: address, cmd: cmd}
	return c, c.start(ctx)
}

// nginxConfig serves n apps from the backend, but the first.
func nginxConfig(prefix string, n int, address, first, backend string) []byte {
	b := nginxHead(prefix, "auto")
	fmt.Fprintf(b, "server_names_hash_max_size 131072;\nserver_names_hash_bucket_size 128;\nproxy_http_version 1.1;\nproxy_set_header Connection '';\n")
	fmt.Fprintf(b, "proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header X-Forwarded-Proto $scheme;\n")
	for i := range n {
		upstream := backend
		if i == 0 {
			upstream = first
		}
		fmt.Fprintf(b, "upstream u%d { server %s; keepalive 32; keepalive_requests 1000000000; }\n", i, upstream)
		fmt.Fprintf(b, "server { listen %s; server_name %s; location / { proxy_pass http://u%d; } }\n", address, host(i), i)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func nginxHead(prefix, workers string) *bytes.Buffer {
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "daemon off;\nworker_processes %s;\npid %s/nginx.pid;\n", workers, prefix)
	fmt.Fprintf(b, "events { worker_connections 4096; }\nhttp {\naccess_log off;\nkeepalive_requests 1000000000;\n")
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(b, "%s_temp_path %s/%s;\n", temp, prefix, temp)
	}
	return b
}
