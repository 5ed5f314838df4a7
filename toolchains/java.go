package toolchains

import (
	"context"
	"io/fs"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(Java))
}

// Java builds Maven and Gradle projects, without their tests. What they
// download is kept for the app's later releases.
type Java struct{}

// CaddyModule describes the module.
func (*Java) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.java", New: func() caddy.Module { return new(Java) }}
}

// Name returns "java".
func (*Java) Name() string { return "java" }

// Detect looks for the files of Maven and Gradle.
func (*Java) Detect(src fs.FS) (reason string, ok bool) {
	return first(src, "pom.xml", "build.gradle", "build.gradle.kts")
}

// Build packages the app.
func (j *Java) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	jdk, err := chooseJDK(b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{
		Toolchains:  []string{j.Name()},
		Env:         hop3.Env{"JAVA_HOME": jdk.home},
		PathPrepend: []string{filepath.Join(jdk.home, "bin")},
	}
	if len(b.Options.Commands) > 0 {
		artifact.Env = artifact.Env.Merge(javaEnv(b))
		return artifact, nil
	}
	argv, err := javaTool(ctx, b, src, artifact)
	if err != nil {
		return hop3.Artifact{}, err
	}
	say(b, "-----> Building with Java %s", jdk.version)
	if err := b.Runner.Run(ctx, hop3.Command{Args: argv, Env: artifact.Env.Merge(javaEnv(b)), Path: artifact.PathPrepend}); err != nil {
		return hop3.Artifact{}, err
	}
	if !webless(b) {
		return artifact, nil
	}
	if jar := findJar(src); jar != nil {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: jar.command(), Count: 1}}
	} else {
		warn(b, "the build made no jar with a Main-Class: say in a Procfile what runs")
	}
	return artifact, nil
}

// javaEnv keeps what is downloaded in the app's cache. The local repository of
// Maven has no variable of its own.
func javaEnv(b *hop3.Build) hop3.Env {
	opts := "-Dmaven.repo.local=" + filepath.Join(b.Cache, "repository")
	if own := b.Env["MAVEN_OPTS"]; own != "" {
		opts = own + " " + opts
	}
	return hop3.Env{
		"MAVEN_OPTS":       opts,
		"MAVEN_USER_HOME":  filepath.Join(b.Cache, "mvnw"),
		"GRADLE_USER_HOME": filepath.Join(b.Cache, "gradle"),
	}
}

// javaTool returns the command that builds the app: that of its own wrapper,
// else of the server's Maven or Gradle.
func javaTool(ctx context.Context, b *hop3.Build, src fs.FS, a hop3.Artifact) ([]string, error) {
	name, wrapper, properties := "gradle", "gradlew", "gradle/wrapper/gradle-wrapper.properties"
	args := []string{"build", "-x", "test", "--no-daemon", "--console=plain"}
	if has(src, "pom.xml") {
		name, wrapper, properties = "mvn", "mvnw", ".mvn/wrapper/maven-wrapper.properties"
		args = []string{"-B", "-ntp", "package", "-DskipTests"}
	}
	if info, err := fs.Stat(src, wrapper); err == nil && info.Mode().IsRegular() {
		if info.Mode()&0o111 != 0 {
			return append([]string{"./" + wrapper}, args...), tryWrapper(ctx, b, a, wrapper, properties)
		}
		warn(b, "%s is not executable: using the server's %s", wrapper, name)
	}
	if find(b, name) == "" {
		if name == "mvn" {
			return nil, missing("Maven", "maven")
		}
		return nil, missing("Gradle", "gradle")
	}
	return append([]string{name}, args...), nil
}

// tryWrapper has a wrapper fetch the program that it stands for, so that what
// goes wrong there is not taken for a mistake in the app.
func tryWrapper(ctx context.Context, b *hop3.Build, a hop3.Artifact, wrapper, properties string) error {
	err := b.Runner.Run(ctx, hop3.Command{
		Args: []string{"./" + wrapper, "--version"},
		Env:  a.Env.Merge(javaEnv(b)),
		Path: a.PathPrepend,
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	return hop3.Errorf(hop3.CodeDeploy, "the app's own %s does not work here: %w", wrapper, err).
		WithHint("It downloads what %s names. Without %s in the source the server's own program is used.", properties, wrapper)
}

var (
	_ hop3.Toolchain = (*Java)(nil)
	_ caddy.Module   = (*Java)(nil)
)
