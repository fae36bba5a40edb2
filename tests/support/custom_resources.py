"""The structure of the custom resources that deploy/ uses: which fields there are, which must be there, and of what type.

Kubernetes itself has no schemas for them; these hold the part of each definition that is used, and nothing else is let
through. A name with `!` must be there.
"""

from typing import Any

ANY: Any = object()  # whatever it is
NAMES = {"*": str}
DURATION = str
SELECTOR = {"matchLabels": NAMES, "matchExpressions": [{"key!": str, "operator!": str, "values": [str]}]}
SCALED = {"apiVersion": str, "kind": str, "name!": str}

HTTP_MATCH = {
    "uri": {"exact": str, "prefix": str, "regex": str},
    "method": {"exact": str, "regex": str},
}
DESTINATION = {"destination!": {"host!": str, "subset": str, "port": {"number!": int}}, "weight": int}
HTTP_ROUTE = {
    "name": str,
    "match": [HTTP_MATCH],
    "route!": [DESTINATION],
    "timeout": DURATION,
    "retries": {"attempts!": int, "perTryTimeout": DURATION, "retryOn": str},
}
CANARY_STEP = {
    "setWeight": int,
    "pause": {"duration": DURATION},
    "analysis": {"templates!": [{"templateName!": str}], "args": [{"name!": str, "value": str}]},
}
ANALYSIS = {
    "templates!": [{"templateName!": str, "clusterScope": bool}],
    "args": [{"name!": str, "value": str, "valueFrom": {"podTemplateHashValue!": str}}],
    "startingStep": int,
}

SPECS: dict[tuple[str, str], Any] = {
    ("keda.sh/v1alpha1", "TriggerAuthentication"): {
        "secretTargetRef": [{"parameter!": str, "name!": str, "key!": str}]
    },
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "scaleTargetRef!": SCALED,
        "minReplicaCount": int,
        "maxReplicaCount": int,
        "pollingInterval": int,
        "cooldownPeriod": int,
        "triggers!": [
            {"type!": str, "metricType": str, "metadata!": NAMES, "authenticationRef": {"name!": str}}
        ],
    },
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "parentRefs!": [{"name!": str, "namespace": str, "sectionName": str}],
        "hostnames": [str],
        "rules!": [
            {
                "matches": [{"path!": {"type!": str, "value!": str}}],
                "timeouts": {"request": DURATION, "backendRequest": DURATION},
                "backendRefs!": [{"name!": str, "port!": int, "weight": int}],
            }
        ],
    },
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {
        "jobLabel": str,
        "selector!": SELECTOR,
        "endpoints!": [{"port!": str, "path": str, "interval": DURATION}],
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups!": [
            {
                "name!": str,
                "interval": DURATION,
                "rules!": [
                    {
                        "alert": str,
                        "record": str,
                        "expr!": str,
                        "for": DURATION,
                        "keep_firing_for": DURATION,
                        "labels": NAMES,
                        "annotations": NAMES,
                    }
                ],
            }
        ]
    },
    ("external-secrets.io/v1", "ExternalSecret"): {
        "refreshInterval": DURATION,
        "secretStoreRef!": {"name!": str, "kind": str},
        "target!": {"name!": str, "creationPolicy": str, "deletionPolicy": str},
        "data!": [{"secretKey!": str, "remoteRef!": {"key!": str, "property": str}}],
    },
    ("security.istio.io/v1", "PeerAuthentication"): {"selector": SELECTOR, "mtls!": {"mode!": str}},
    ("security.istio.io/v1", "AuthorizationPolicy"): {
        "selector": SELECTOR,
        "action": str,
        "rules": [
            {
                "from": [{"source!": {"principals": [str], "namespaces": [str]}}],
                "to": [{"operation!": {"methods": [str], "paths": [str], "notPaths": [str], "ports": [str]}}],
            }
        ],
    },
    ("networking.istio.io/v1", "Gateway"): {
        "selector!": NAMES,
        "servers!": [
            {
                "port!": {"number!": int, "name!": str, "protocol!": str},
                "hosts!": [str],
                "tls": {"mode": str, "credentialName": str, "httpsRedirect": bool},
            }
        ],
    },
    ("networking.istio.io/v1", "DestinationRule"): {
        "host!": str,
        "trafficPolicy": {
            "tls": {"mode!": str},
            "loadBalancer": {"simple!": str},
            "connectionPool": {
                "tcp": {"maxConnections": int, "connectTimeout": DURATION},
                "http": {
                    "http1MaxPendingRequests": int,
                    "http2MaxRequests": int,
                    "idleTimeout": DURATION,
                    "h2UpgradePolicy": str,
                    "maxRetries": int,
                },
            },
            "outlierDetection": {
                "consecutiveGatewayErrors": int,
                "consecutive5xxErrors": int,
                "interval": DURATION,
                "baseEjectionTime": DURATION,
                "maxEjectionPercent": int,
            },
        },
    },
    ("networking.istio.io/v1", "VirtualService"): {
        "hosts!": [str],
        "gateways": [str],
        "http!": [HTTP_ROUTE],
    },
    ("argoproj.io/v1alpha1", "AnalysisTemplate"): {
        "args": [{"name!": str, "value": str}],
        "metrics!": [
            {
                "name!": str,
                "interval": DURATION,
                "initialDelay": DURATION,
                "count": int,
                "failureLimit": int,
                "inconclusiveLimit": int,
                "successCondition": str,
                "failureCondition": str,
                "provider!": {"prometheus!": {"address!": str, "query!": str}},
            }
        ],
    },
    ("argoproj.io/v1alpha1", "Rollout"): {
        "replicas": int,
        "revisionHistoryLimit": int,
        "progressDeadlineSeconds": int,
        "selector": SELECTOR,
        "workloadRef!": {"apiVersion!": str, "kind!": str, "name!": str, "scaleDown": str},
        "strategy!": {
            "blueGreen": {
                "activeService!": str,
                "previewService": str,
                "autoPromotionEnabled": bool,
                "scaleDownDelaySeconds": int,
                "prePromotionAnalysis": ANALYSIS,
                "postPromotionAnalysis": ANALYSIS,
            },
            "canary": {
                "stableService": str,
                "canaryService": str,
                "trafficRouting": {"istio!": {"virtualServices!": [{"name!": str, "routes": [str]}]}},
                "analysis": ANALYSIS,
                "steps": [CANARY_STEP],
                "abortScaleDownDelaySeconds": int,
            },
        },
    },
    ("argoproj.io/v1alpha1", "Application"): {
        "project!": str,
        "source!": {
            "repoURL!": str,
            "targetRevision!": str,
            "path!": str,
            "helm": {"releaseName": str, "valueFiles": [str]},
        },
        "destination!": {"server!": str, "namespace!": str},
        "syncPolicy": {
            "automated": {"prune": bool, "selfHeal": bool},
            "syncOptions": [str],
            "retry": {
                "limit": int,
                "backoff": {"duration": DURATION, "factor": int, "maxDuration": DURATION},
            },
        },
        "ignoreDifferences": [
            {"group": str, "kind!": str, "name": str, "jsonPointers": [str], "jqPathExpressions": [str]}
        ],
    },
}
METADATA = {"name!": str, "namespace": str, "labels": NAMES, "annotations": NAMES, "finalizers": [str]}


def is_custom(manifest: dict[str, Any]) -> bool:
    return (manifest["apiVersion"], manifest["kind"]) in SPECS


def misshapen(manifest: dict[str, Any]) -> list[str]:
    """What is in it and should not be, is missing, or has another type."""
    shape = {
        "apiVersion!": str,
        "kind!": str,
        "metadata!": METADATA,
        "spec!": SPECS[manifest["apiVersion"], manifest["kind"]],
    }
    return _compare(manifest, shape, manifest["kind"])


def _compare(value: Any, shape: Any, place: str) -> list[str]:
    if shape is ANY:
        return []
    if isinstance(shape, type):
        # True is an int to Python, and to nobody else.
        fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        return [] if fits else [f"{place}: {value!r} is no {shape.__name__}"]
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f"{place}: {value!r} is no list with something in it"]
        return [text for i, one in enumerate(value) for text in _compare(one, shape[0], f"{place}[{i}]")]
    if not isinstance(value, dict):
        return [f"{place}: {value!r} is no object"]
    if "*" in shape:
        return [text for key, one in value.items() for text in _compare(one, shape["*"], f"{place}.{key}")]
    known = {name.rstrip("!"): inner for name, inner in shape.items()}
    found = [
        f"{place}: {name.rstrip('!')} is missing"
        for name in shape
        if name.endswith("!") and name[:-1] not in value
    ]
    for key, one in value.items():
        found += (
            _compare(one, known[key], f"{place}.{key}") if key in known else [f"{place}: there is no {key}"]
        )
    return found
