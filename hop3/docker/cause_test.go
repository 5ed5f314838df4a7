package docker

import (
	"strings"
	"testing"
)

// What docker says, as it was seen to.
func TestCause(t *testing.T) {
	for name, c := range map[string]struct {
		said, want string
		transient  bool
	}{
		"BuildKit": {
			said: `#5 [2/3] RUN pip install x
#5 0.523 Looking in indexes
#5 0.911 ERROR: No matching distribution found for x
#5 ERROR: process "/bin/sh -c pip install x" did not complete successfully: exit code: 1
------
 > [2/3] RUN pip install x:
0.523 Looking in indexes
0.911 ERROR: No matching distribution found for x
------
Dockerfile:3
--------------------
   1 |     FROM python
   3 | >>> RUN pip install x
--------------------
ERROR: failed to solve: process "/bin/sh -c pip install x" did not complete successfully: exit code: 1`,
			want: "[2/3] RUN pip install x: 0.911 ERROR: No matching distribution found for x",
		},
		"an older BuildKit": {
			said: `#5 [2/2] RUN ["/app","fail"]
#5 sha256:0805ec8446fafb6a4da8a4912ea0cf2ccb73c7bcb66daecb2328972859291634
#5 0.220 2026/11/25 19:36:32 out of flour
#5 ERROR: executor failed running [/app fail]: exit code: 1
------
 > [2/2] RUN ["/app","fail"]:
------
executor failed running [/app fail]: exit code: 1`,
			want: `[2/2] RUN ["/app","fail"]: 2026/11/25 19:36:32 out of flour`,
		},
		"the builder of old": {
			said: `Step 3/3 : RUN ["/app","fail"]
 ---> Running in 0123456789ab
out of flour
The command '/app fail' returned a non-zero code: 1`,
			want: `RUN ["/app","fail"]: out of flour`,
		},
		"a mistake in the file": {
			said: "#1 DONE 0.0s\nDockerfile:1\n--------------------\n   1 | >>> FORM x\n--------------------\nERROR: failed to solve: dockerfile parse error on line 1: unknown instruction: FORM",
			want: "failed to solve: dockerfile parse error on line 1: unknown instruction: FORM",
		},
		"a registry in trouble": {
			said:      "#3 [internal] load metadata for docker.io/library/debian:12\n#3 ERROR: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/debian: 503 Service Unavailable",
			want:      "failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/debian: 503 Service Unavailable",
			transient: true,
		},
		"a way that is slow": {
			said:      `Error response from daemon: Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout`,
			want:      `Error response from daemon: Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout`,
			transient: true,
		},
		"a pull from a registry in trouble": {
			said:      "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
			want:      "Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
			transient: true,
		},
		"too many pulls": {
			said: "toomanyrequests: You have reached your pull rate limit. 503 Service Unavailable from registry",
			want: "toomanyrequests: You have reached your pull rate limit. 503 Service Unavailable from registry",
		},
		"an image that is not there": {
			said: "#2 ERROR: docker.io/library/nope:latest: not found",
			want: "docker.io/library/nope:latest: not found",
		},
		"an app that meets a 503 itself": {
			said: "#7 [3/3] RUN npm install\n#7 4.001 npm error 503 Service Unavailable - GET https://registry.npmjs.org/x\n#7 ERROR: exit code: 1\n------\n > [3/3] RUN npm install:\n4.001 npm error x\n------\nERROR: failed to solve: exit code: 1",
			want: "[3/3] RUN npm install: 4.001 npm error x",
		},
		"nothing": {want: "it said nothing"},
	} {
		o := &output{}
		for line := range strings.Lines(c.said) {
			o.add("       " + strings.TrimSuffix(line, "\n"))
		}
		if got := strings.TrimPrefix(o.cause(), "ERROR: "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
		if o.transient() != c.transient {
			t.Errorf("%s: another attempt: %v", name, o.transient())
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := &output{}
	for range 100_000 {
		o.add("x")
	}
	if len(o.lines) > maxKept {
		t.Errorf("%d lines are kept", len(o.lines))
	}
}
