package toolchains

import (
	"context"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

func init() {
	caddy.RegisterModule(new(DotNet))
}

// DotNet publishes .NET projects in C# and F#. The packages of NuGet are kept
// for the app's later releases.
type DotNet struct {
	programs programs
}

// CaddyModule describes the module.
func (*DotNet) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "hop3.toolchains.dotnet", New: func() caddy.Module { return new(DotNet) }}
}

// Name returns "dotnet".
func (*DotNet) Name() string { return "dotnet" }

// Detect looks for a solution or a project at the root.
func (*DotNet) Detect(src fs.FS) (reason string, ok bool) {
	for _, pattern := range []string{"*.sln", "*.csproj", "*.fsproj"} {
		found, _ := fs.Glob(src, pattern)
		if reason, ok := first(src, found...); ok {
			return reason, true
		}
	}
	return "", false
}

// Build publishes the app.
func (d *DotNet) Build(ctx context.Context, b *hop3.Build) (hop3.Artifact, error) {
	src, closeSource, err := source(b)
	if err != nil {
		return hop3.Artifact{}, err
	}
	defer closeSource()
	version, err := d.check(ctx, b, src)
	if err != nil {
		return hop3.Artifact{}, err
	}
	artifact := hop3.Artifact{Toolchains: []string{d.Name()}}
	if len(b.Options.Commands) > 0 {
		artifact.Env = dotnetEnv(b)
		return artifact, nil
	}
	say(b, "-----> Publishing with .NET %s", version)
	project, _ := d.Detect(src)
	restore := []string{"dotnet", "restore", project}
	if has(src, "packages.lock.json") {
		restore = append(restore, "--locked-mode")
	} else if names := dotnetPackages(src); len(names) > 0 {
		if err := unlocked(b, "there is no packages.lock.json, and %s names packages: a later build may get other versions", names[0]); err != nil {
			return hop3.Artifact{}, err
		}
	}
	for _, argv := range [][]string{restore, {"dotnet", "publish", project, "-c", "Release", "--no-restore"}} {
		if err := b.Runner.Run(ctx, hop3.Command{Args: argv, Env: dotnetEnv(b)}); err != nil {
			return hop3.Artifact{}, err
		}
	}
	if !webless(b) {
		return artifact, nil
	}
	if start := dotnetStart(src); start != "" {
		artifact.Processes = []hop3.Process{{Type: hop3.ProcessWeb, Command: start, Count: 1}}
	} else {
		warn(b, "the build published no program, or several: say in a Procfile what runs")
	}
	return artifact, nil
}

// dotnetEnv keeps what is downloaded in the app's cache, and has the compiler
// leave no server of its own behind.
func dotnetEnv(b *hop3.Build) hop3.Env {
	return hop3.Env{
		"DOTNET_CLI_HOME":               filepath.Join(b.Cache, "home"),
		"NUGET_PACKAGES":                filepath.Join(b.Cache, "packages"),
		"DOTNET_CLI_TELEMETRY_OPTOUT":   "1",
		"DOTNET_NOLOGO":                 "1",
		"DOTNET_CLI_USE_MSBUILD_SERVER": "0",
		"MSBUILDDISABLENODEREUSE":       "1",
		"UseSharedCompilation":          "false",
	}
}

var targetFramework = regexp.MustCompile(`<TargetFrameworks?>[^<]*\bnet(\d+)\.0`)

// check compares the framework that the projects are for with the server's SDK.
func (d *DotNet) check(ctx context.Context, b *hop3.Build, src fs.FS) (version string, err error) {
	program := find(b, "dotnet")
	if program == "" {
		return "", hop3.Errorf(hop3.CodeDeploy, "the .NET SDK is not installed on this server").
			WithHint("On Ubuntu: apt-get install dotnet-sdk-8.0; for Debian see https://learn.microsoft.com/dotnet/core/install/linux-debian")
	}
	if version, err = d.programs.ask(ctx, b, dotnetEnv(b), program, "--version"); err != nil {
		return "", err
	}
	have := numbers(version)[0]
	for _, project := range dotnetProjects(src) {
		m := targetFramework.FindStringSubmatch(read(src, project))
		if m == nil {
			continue
		}
		if want, _ := strconv.Atoi(m[1]); want > have {
			return "", hop3.Errorf(hop3.CodeDeploy, "%s asks for .NET %d; this server has %s", project, want, version).
				WithHint("Install dotnet-sdk-%d.0 on the server, or change TargetFramework.", want)
		}
	}
	return version, nil
}

// dotnetProjects are the files that say what is built, and with what.
func dotnetProjects(src fs.FS) (files []string) {
	for _, pattern := range []string{"*.csproj", "*.fsproj", "*/*.csproj", "*/*.fsproj", "Directory.Build.props"} {
		found, _ := fs.Glob(src, pattern)
		files = append(files, found...)
	}
	return files
}

// dotnetPackages returns the project files that name packages.
func dotnetPackages(src fs.FS) []string {
	return slices.DeleteFunc(dotnetProjects(src), func(file string) bool { return !strings.Contains(read(src, file), "<PackageReference") })
}

// dotnetStart returns the command of the one web app that was published, else
// of the one program; "" when there is no such thing.
func dotnetStart(src fs.FS) string {
	const published = "bin/Release/*/publish/*.runtimeconfig.json"
	var web, all []string
	for _, dir := range []string{"", "*/", "*/*/"} {
		found, _ := fs.Glob(src, dir+published)
		for _, config := range found {
			all = append(all, config)
			if strings.Contains(read(src, config), `"Microsoft.AspNetCore.App"`) {
				web = append(web, config)
			}
		}
	}
	program := func(config string) string {
		return "dotnet " + quote(strings.TrimSuffix(config, ".runtimeconfig.json")+".dll")
	}
	switch {
	case len(web) == 1:
		return program(web[0]) + " --urls http://${BIND_ADDRESS:-127.0.0.1}:$PORT --contentRoot " + quote(path.Dir(web[0]))
	case len(web) == 0 && len(all) == 1:
		return program(all[0])
	}
	return ""
}

var (
	_ hop3.Toolchain = (*DotNet)(nil)
	_ caddy.Module   = (*DotNet)(nil)
)
