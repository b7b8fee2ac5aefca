// Every part of Kubernetes in one program, etcd and kubectl included: it is the part whose name it
// is called by, or that its first argument names. The code is upstream's; only this choice is ours,
// so what tests meet is the real API server and not a stand-in.
//
// scripts/kubernetes builds it. Its go.mod is made there for the version asked for, from that
// version's own: Kubernetes' staging modules carry no versions in the go.mod that it publishes.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // CronJobs name time zones

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// parts run until they are told to stop; each of them ends the process with its own status.
var parts = map[string]func(){
	"etcd":           func() { etcdmain.Main(os.Args) },
	"kube-apiserver": func() { serve(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() {
		serve(controllermanager.NewControllerManagerCommand())
	},
	"kube-scheduler": func() { serve(scheduler.NewSchedulerCommand()) },
	"kube-proxy":     func() { serve(proxy.NewProxyCommand()) },
	"kubelet":        func() { serve(kubelet.NewKubeletCommand(context.Background())) },
	"kubectl":        func() { control() },
}

func main() {
	if run, found := parts[filepath.Base(os.Args[0])]; found {
		run()
		return
	}
	if len(os.Args) > 1 {
		if run, found := parts[os.Args[1]]; found {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	fmt.Fprintf(os.Stderr, "usage: %s PART [ARGUMENT...], with PART one of %s\n",
		filepath.Base(os.Args[0]), strings.Join(names(), ", "))
	os.Exit(2)
}

func serve(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func control() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

func names() []string {
	found := make([]string, 0, len(parts))
	for name := range parts {
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}
